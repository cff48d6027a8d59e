"""JSON over HTTP, with nothing but the standard library."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Mapping, Optional

from .errors import ApiError, Unreachable

DEFAULT_URL = "http://127.0.0.1:5080"


class Http:
    """Requests to one server. Arguments win over the environment."""

    def __init__(
        self,
        url: Optional[str] = None,
        token: Optional[str] = None,
        ca_file: Optional[str] = None,
        timeout_s: float = 300.0,
    ) -> None:
        self.url = (url or os.environ.get("MCPLANE_URL") or DEFAULT_URL).rstrip("/")
        self._token = token or os.environ.get("MCPLANE_TOKEN")
        self._timeout_s = timeout_s
        ca_file = ca_file or os.environ.get("MCPLANE_CA_FILE")
        self._tls = ssl.create_default_context(cafile=ca_file) if self.url.startswith("https:") else None
        if self._token and self._tls is None and not _is_loopback(self.url):
            raise ValueError(f"a token may not travel to {self.url} without TLS: use an https address")

    def request(self, method: str, path: str, body: Optional[Mapping[str, Any]] = None, **query: Optional[str]) -> Any:
        """Sends a request and returns the decoded answer."""
        given = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(given)}" if given else "")
        headers = {"Accept": "application/json", "User-Agent": "mcplane-python"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._tls) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise _refusal(error.code, error.read()) from None
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            message = f"no mcplane server answers at {self.url}: {reason} (set MCPLANE_URL, or start one: mcplane server)"
            raise Unreachable(message) from error


def _refusal(status: int, body: bytes) -> ApiError:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return ApiError(status, "", body.decode(errors="replace")[:500] or "the server gave no reason")
    return ApiError(status, str(answer.get("error_code") or answer.get("reason") or ""), str(answer.get("message", "")))


def _is_loopback(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def quoted(part: str) -> str:
    """A name as one segment of a path."""
    return urllib.parse.quote(part, safe="")

"""HTTP with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any, Dict, Mapping, Optional

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
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        return self._decoded(self._open(method, _with(path, query), data, headers))

    def upload(self, method: str, path: str, file: IO[bytes], size: int, media_type: str) -> Any:
        """Sends a file from where it stands, and returns the decoded answer."""
        headers = {"Content-Type": media_type, "Content-Length": str(size)}
        return self._decoded(self._open(method, path, file, headers))

    def stream(self, path: str, **query: Optional[str]) -> http.client.HTTPResponse:
        """An answer that is read as it comes."""
        return self._open("GET", _with(path, query), None, {"Accept": "text/plain"})

    def _decoded(self, answer: http.client.HTTPResponse) -> Any:
        with answer:
            try:
                return json.loads(answer.read() or b"null")
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error

    def _open(self, method: str, path: str, data: Any, headers: Dict[str, str]) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "mcplane-python", **headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers, method=method)
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(
                request, timeout=self._timeout_s, context=self._tls
            )
            return answer
        except urllib.error.HTTPError as error:
            raise _refusal(error.code, error.read()) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        reason = getattr(error, "reason", None) or error
        return Unreachable(
            f"no mcplane server answers at {self.url}: {reason} (set MCPLANE_URL, or start one: mcplane server)"
        )


def _with(path: str, query: Mapping[str, Optional[str]]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urllib.parse.urlencode(given)}" if given else path


def _refusal(status: int, body: bytes) -> ApiError:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return ApiError(status, "", body.decode(errors="replace")[:500] or "the server gave no reason")
    code = str(answer.get("error_code") or answer.get("reason") or "")
    details = answer.get("details")
    return ApiError(status, code, str(answer.get("message", "")), details if isinstance(details, dict) else {})


def _is_loopback(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def quoted(part: str) -> str:
    """A name as one segment of a path."""
    return urllib.parse.quote(part, safe="")

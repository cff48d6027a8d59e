"""What a task can say of itself while it runs."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Optional, Union

from .errors import McplaneError
from .http import Http, quoted

#: Seconds between two reports; what comes sooner is dropped, except the last.
_EVERY_S = 0.5
#: Seconds that a report may take: work matters more than telling of it.
_TIMEOUT_S = 5.0


class _Reporter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._complained = False

    def report(self, value: float, total: Optional[float], message: Optional[str]) -> bool:
        task, attempt = os.environ.get("MCPLANE_TASK_ID"), os.environ.get("MCPLANE_ATTEMPT")
        if not task or not attempt:
            return False
        final = total is not None and value >= total
        with self._lock:
            if time.monotonic() < self._next and not final:
                return False
            self._next = time.monotonic() + _EVERY_S
        told = {"value": value, "total": total, "message": message}
        body = {"attempt": int(attempt), "progress": {key: item for key, item in told.items() if item is not None}}
        namespace = os.environ.get("MCPLANE_NAMESPACE") or "default"
        path = f"/tasks/v1/namespaces/{quoted(namespace)}/tasks/{quoted(task)}/progress"
        try:
            Http(timeout_s=_TIMEOUT_S).request("PUT", path, body)
        except (McplaneError, ValueError) as error:
            self._complain(error)
            return False
        return True

    def _complain(self, error: Exception) -> None:
        if self._complained:
            return
        self._complained = True
        print(f"mcplane: progress was not reported: {error}", file=sys.stderr)


_reporter = _Reporter()


def report_progress(
    value: Union[int, float], total: Union[int, float, None] = None, message: Optional[str] = None
) -> bool:
    """Tells how far the task is that this process runs for; whether it was told.

    It may be called as often as one likes: twice a second something is sent. Outside of a task it does nothing, and no
    failure of telling ends the work.
    """
    return _reporter.report(value, total, message)

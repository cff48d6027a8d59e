"""What can go wrong."""

from __future__ import annotations

from typing import Any, Mapping, Optional


class McplaneError(Exception):
    """Anything that this package raises."""


class Unreachable(McplaneError):
    """No server answered."""


class ApiError(McplaneError):
    """The server refused the request."""

    def __init__(self, status: int, code: str, message: str, details: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(f"{message} ({code or status})")
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})


class TaskTimeout(McplaneError, TimeoutError):
    """A task did not finish in the time that was given for waiting; it goes on."""


class TaskFailed(McplaneError):
    """A task failed or was cancelled."""

"""What can go wrong."""

from __future__ import annotations


class McplaneError(Exception):
    """Anything that this package raises."""


class Unreachable(McplaneError):
    """No server answered."""


class ApiError(McplaneError):
    """The server refused the request."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code or status})")
        self.status = status
        self.code = code
        self.message = message

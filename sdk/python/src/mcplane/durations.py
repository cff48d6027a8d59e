"""Spans of time, as callers write them and as the server takes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Optional, Union

Duration = Union[int, float, timedelta]
"""Seconds, or a ``timedelta``."""


def milliseconds(duration: Optional[Duration]) -> Optional[int]:
    """Whole milliseconds."""
    if duration is None:
        return None
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    return round(seconds * 1000)

"""A task that was submitted."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Literal, Mapping, Optional, Union, overload

from .errors import TaskFailed, TaskTimeout, Unreachable
from .http import Http

#: Seconds between two looks at a task: the first, and the longest.
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.05, 2.0
#: Seconds that a server may be away, as for its upgrade, while somebody waits: tasks go on meanwhile.
_PATIENCE_S = 60.0
_PHASES = {"waiting": "Pending", "ready": "Pending", "running": "Running"}


@dataclass(frozen=True)
class TaskStatus:
    """Where a task was when it was looked at."""

    id: str
    name: str
    queue: str
    state: str
    """``waiting`` for its time, ``ready`` to run, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
    reason: str = ""
    """Why, in one word: ``InsufficientCpu``, ``BackOff``, ``Error``."""
    message: str = ""
    """The same for people."""
    attempt: int = 0
    """Number of the newest attempt; 0 before the first."""
    attempts_left: int = 0
    exit_code: Optional[int] = None
    """Exit code of the newest attempt."""
    progress: Any = None
    """What the attempt reported last, such as ``{"value": 3, "total": 10}``."""
    node: Optional[str] = None
    trace: str = ""
    """The trace that it belongs to, from submission to exit."""
    created_at: str = ""
    due_at: str = ""
    started_at: Optional[str] = None
    finished_at: Optional[str] = None
    cancelled_by: Optional[str] = None

    @property
    def phase(self) -> str:
        """The state in Kubernetes' words: ``Pending``, ``Running``, ``Succeeded``, ``Failed``, and ``Cancelled``."""
        return _PHASES.get(self.state, self.state.capitalize())

    @property
    def finished(self) -> bool:
        """Whether nothing follows."""
        return self.state in ("succeeded", "failed", "cancelled")

    @property
    def succeeded(self) -> bool:
        """Whether it did what it should."""
        return self.state == "succeeded"

    def __str__(self) -> str:
        words = self.phase + (f", {self.reason}" if self.reason else "")
        return f"{words}: {self.message}" if self.message else words

    @classmethod
    def _read(cls, answer: Mapping[str, Any]) -> "TaskStatus":
        known = {name: answer[key] for key, name in _FIELDS.items() if answer.get(key) is not None}
        return cls(**known)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_FIELDS: Dict[str, str] = {_camel(name): name for name in TaskStatus.__dataclass_fields__}


class TaskHandle:
    """A task on the server. :meth:`status` looks anew; :attr:`last` is what was seen last."""

    def __init__(self, http: Http, path: str, status: TaskStatus) -> None:
        self._http = http
        self._path = path
        self.last = status

    @property
    def id(self) -> str:
        """Its name for the world."""
        return self.last.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self.last.name

    def status(self) -> TaskStatus:
        """Where it is now."""
        return self._seen(self._http.request("GET", self._path))

    @property
    def progress(self) -> Any:
        """What its attempt reported last."""
        return self.status().progress

    def cancel(self) -> TaskStatus:
        """Wants it to end: an attempt gets SIGTERM, and SIGKILL after its grace. A finished task stays as it is."""
        return self._seen(self._http.request("POST", f"{self._path}/cancel", {}))

    def retry(self) -> TaskStatus:
        """Makes a failed or cancelled task ready anew, with all its attempts."""
        return self._seen(self._http.request("POST", f"{self._path}/retry", {}))

    def wait(self, timeout: Optional[float] = None, *, check: bool = False) -> TaskStatus:
        """Waits until it has finished; after ``timeout`` seconds :class:`~mcplane.TaskTimeout`.

        With ``check`` anything but success raises :class:`~mcplane.TaskFailed`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK_S
        while not (status := self._look(deadline)).finished:
            left = pause if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TaskTimeout(f"task {self.name} ({self.id}) has not finished after {timeout} s: {status}")
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_LOOK_S)
        if check and not status.succeeded:
            raise TaskFailed(f"task {self.name} ({self.id}): {status}")
        return status

    @overload
    def logs(self, follow: "Literal[False]" = False, **options: Any) -> str: ...

    @overload
    def logs(self, follow: "Literal[True]", **options: Any) -> Iterator[str]: ...

    def logs(
        self,
        follow: bool = False,
        *,
        tail: Optional[int] = None,
        since: Optional[float] = None,
        timestamps: bool = False,
        limit_bytes: Optional[int] = None,
        attempt: Optional[int] = None,
    ) -> Union[str, Iterator[str]]:
        """What an attempt printed, the newest by default: a text, or with ``follow`` lines as they come.

        Following waits for the first attempt, and ends when the task has finished; the lines of a later attempt come after
        those of the one before it.
        """
        options = {
            "tailLines": _text(tail),
            "sinceSeconds": _text(since and max(1, round(since))),
            "timestamps": "true" if timestamps else None,
            "limitBytes": _text(limit_bytes),
        }
        if follow:
            return self._follow(attempt, options)
        with self._http.stream(f"{self._path}/logs", attempt=_text(attempt), **options) as answer:
            return answer.read().decode(errors="replace")

    def _follow(self, attempt: Optional[int], options: Mapping[str, Optional[str]]) -> Iterator[str]:
        done = None if attempt is None else attempt - 1
        pause = _FIRST_LOOK_S
        while True:
            status = self._look()
            if status.attempt > (done or 0):
                # One that began while another was read comes after it.
                done = status.attempt if done is None else done + 1
                yield from self._attempt(done, options)
                pause = _FIRST_LOOK_S
            elif status.finished:
                return
            else:
                time.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_LOOK_S)
            if attempt is not None and done == attempt:
                return

    def _attempt(self, number: int, options: Mapping[str, Optional[str]]) -> Iterator[str]:
        """The lines of an attempt to its end. If the connection breaks, what came already is not told again."""
        told = 0
        while True:
            broken = False
            try:
                with self._http.stream(f"{self._path}/logs", follow="true", attempt=str(number), **options) as answer:
                    for index, line in enumerate(_lines(answer)):
                        if index >= told:
                            told += 1
                            yield line
            except (OSError, http.client.HTTPException, Unreachable):
                if any(options.values()):
                    # Where to go on can't be known.
                    raise
                broken = True
            status = self._look()
            runs = status.attempt == number and status.state == "running"
            if any(options.values()) or not (broken or runs):
                return
            time.sleep(_FIRST_LOOK_S)

    def _look(self, deadline: Optional[float] = None) -> TaskStatus:
        """:meth:`status`, with patience for a server that is away."""
        give_up = min(time.monotonic() + _PATIENCE_S, deadline or float("inf"))
        while True:
            try:
                return self.status()
            except Unreachable:
                if time.monotonic() >= give_up:
                    raise
                time.sleep(0.2)

    def _seen(self, answer: Mapping[str, Any]) -> TaskStatus:
        self.last = TaskStatus._read(answer)
        return self.last

    def __repr__(self) -> str:
        return f"TaskHandle({self.name!r}, {self.id!r}, {self.last})"


def _lines(answer: http.client.HTTPResponse) -> Iterator[str]:
    """Lines as they come. Unlike those of the answer itself, they tell a connection that broke from one that ended."""
    rest = b""
    while data := answer.read1(65536):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _text(value: Any) -> Optional[str]:
    return None if value is None else str(value)

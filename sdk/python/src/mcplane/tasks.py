"""Tasks: work that the server runs."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Union

from . import archive as _archive
from .durations import Duration, milliseconds
from .errors import ApiError
from .handle import TaskHandle, TaskStatus
from .http import Http, quoted

#: How long the server may take to notice a namespace that was just made.
_NOTICED_S = 5.0


@dataclass(frozen=True)
class Retries:
    """How often a task is attempted, and how long it waits in between."""

    max_attempts: int
    """Attempts in all."""
    initial: Duration = 10.0
    """Before the second attempt."""
    factor: float = 2.0
    """What each further delay is multiplied by."""
    longest: Duration = 600.0
    """The longest delay. Up to half of each delay is taken off at random."""


@dataclass(frozen=True)
class Concurrency:
    """At most ``limit`` tasks of one key run at a time in the namespace."""

    key: str
    limit: int = 1


class Task:
    """A task to submit; each :meth:`submit` makes one."""

    def __init__(self, client: "TaskClient", body: Dict[str, Any], code: Union[bool, str, None]) -> None:
        self._client = client
        self._body = body
        self._code = code

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self._body["name"])

    def submit(self, queue: Optional[str] = None) -> TaskHandle:
        """Hands the task to the server, and its code if the server does not have it."""
        return self._client._submit(self._body, self._code, queue)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


class TaskClient:
    """Submits and finds tasks of a project.

    A project is a namespace; without one ``MCPLANE_NAMESPACE`` or ``default`` is meant. A namespace that is not there is
    made by the first task that is submitted to it, if the caller may. Without other arguments the client calls ``MCPLANE_URL`` (by
    default ``http://127.0.0.1:5080``) with ``MCPLANE_TOKEN``. What it does beyond what was asked it says on standard
    error, unless it is ``quiet``.
    """

    def __init__(
        self,
        project: Optional[str] = None,
        *,
        url: Optional[str] = None,
        token: Optional[str] = None,
        ca_file: Optional[str] = None,
        quiet: bool = False,
    ) -> None:
        self._http = Http(url, token, ca_file)
        self.project = project or os.environ.get("MCPLANE_NAMESPACE") or "default"
        self._quiet = quiet

    def create_training_task(
        self,
        name: str,
        image: Optional[str] = None,
        command: Union[str, Sequence[str], None] = None,
        resources: Optional[Mapping[str, Union[str, int, float]]] = None,
        *,
        args: Sequence[str] = (),
        env: Optional[Mapping[str, str]] = None,
        code: Union[bool, str, "os.PathLike[str]", None] = None,
        working_dir: Optional[str] = None,
        service_account: Optional[str] = None,
        labels: Optional[Mapping[str, str]] = None,
        priority: int = 0,
        delay: Optional[Duration] = None,
        run_at: Optional[str] = None,
        retries: Union[int, Retries] = 0,
        timeout: Optional[Duration] = None,
        grace: Optional[Duration] = None,
        idempotency_key: Optional[str] = None,
        unique_key: Optional[str] = None,
        concurrency: Optional[Concurrency] = None,
    ) -> Task:
        """A task that is not submitted yet.

        ``command`` is a list of words (or a text that is split as a shell would). ``resources`` are quantities as in
        Kubernetes: ``{"cpu": "500m", "memory": "2Gi", "gpu": 1}``. Durations are seconds or ``timedelta``.

        ``code`` says which folder the attempt starts in: a path, ``True`` for the working directory, ``False`` for none.
        Left out, the working directory travels if the command names something in it, as ``python train.py`` does.
        """
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command or ()]
        plan = retries if isinstance(retries, Retries) else Retries(retries + 1) if retries else None
        body: Dict[str, Any] = {
            "name": name,
            "image": image,
            "command": words,
            "args": [str(word) for word in args],
            "env": {key: str(value) for key, value in (env or {}).items()},
            "resources": {key: str(value) for key, value in (resources or {}).items()},
            "workingDir": working_dir,
            "serviceAccount": service_account,
            "labels": dict(labels or {}),
            "priority": priority or None,
            "runAt": run_at,
            "delayMs": milliseconds(delay),
            "retries": plan and _retries(plan),
            "timeoutMs": milliseconds(timeout),
            "graceMs": milliseconds(grace),
            "idempotencyKey": idempotency_key,
            "uniqueKey": unique_key,
            "concurrency": concurrency and {"key": concurrency.key, "limit": concurrency.limit},
        }
        given = {key: value for key, value in body.items() if value not in (None, [], {})}
        return Task(self, given, code if code is None or isinstance(code, bool) else os.fspath(code))

    def tasks(
        self, *, queue: Optional[str] = None, state: Union[str, Sequence[str], None] = None, limit: int = 100
    ) -> List[TaskHandle]:
        """The project's tasks, newest first; ``state`` is one or several of ``waiting``, ``ready``, ``running``,
        ``succeeded``, ``failed`` and ``cancelled``."""
        states = state if state is None or isinstance(state, str) else ",".join(state)
        found: List[TaskHandle] = []
        after: Optional[str] = None
        while len(found) < limit:
            page = str(min(limit - len(found), 1000))
            query = {"queue": queue, "state": states, "limit": page, "continue": after}
            answer = self._http.request("GET", self._path("tasks"), **query)
            found += [self._handle(item) for item in answer["tasks"]]
            after = answer.get("continue")
            if after is None:
                break
        return found

    def task(self, id: str) -> TaskHandle:
        """The task of that id."""
        return self._handle(self._http.request("GET", self._path("tasks", id)))

    def _handle(self, answer: Mapping[str, Any]) -> TaskHandle:
        return TaskHandle(self._http, self._path("tasks", str(answer["id"])), TaskStatus._read(answer))

    def _submit(self, body: Dict[str, Any], code: Union[bool, str, None], queue: Optional[str]) -> TaskHandle:
        body = {**body, "queue": queue} if queue else dict(body)
        notes: List[str] = []
        found = self._travels(body, code, notes)
        if found is not None:
            digest, words = self._deliver(found)
            body["code"] = digest
            notes.insert(0, words)
        answer = self._for_project(lambda: self._http.request("POST", self._path("tasks"), body))
        self._say(f"task {body['name']} was submitted to queue {answer['queue']} of {self.project} as {answer['id']}")
        for note in notes:
            self._say(note)
        return self._handle(answer)

    def _travels(
        self, body: Mapping[str, Any], code: Union[bool, str, None], notes: List[str]
    ) -> Optional[_archive.Contents]:
        """The folder that the attempt starts in, if there is one."""
        if code is False:
            return None
        here = os.getcwd()
        words = [*body.get("command", ()), *body.get("args", ())]
        named = list(_named(words, here))
        if code is None:
            if not named:
                missing = [word for word in words if _is_script(word)]
                notes += [f"{word} is not in {here}: the task's folder will be empty" for word in missing]
                return None
            if os.path.realpath(here) in ("/", os.path.realpath(os.path.expanduser("~"))):
                notes.append(f"{here} does not travel unasked: give code=True, or a folder")
                return None
        found = _archive.contents(code if isinstance(code, str) else here)
        if not isinstance(code, str):
            notes += [f"{word} does not travel: an ignore file leaves it out" for word in named if word not in found]
        shown = found.left_out[:5]
        notes += shown + ([f"and {len(found.left_out) - 5} more"] if len(found.left_out) > 5 else [])
        return found

    def _deliver(self, found: _archive.Contents) -> "tuple[str, str]":
        with tempfile.TemporaryFile() as file:
            packed = _archive.pack(found, file)
            known = self._knows(packed.code)
            if not known:

                def put() -> Any:
                    file.seek(0)
                    return self._http.upload("PUT", self._path("code"), file, packed.size, "application/gzip")

                answer = self._for_project(put)
                packed.code = str(answer["code"])
        sent = "which the server had" if known else f"{_size(packed.size)} packed"
        leave = ".mcplaneignore leaves files out, code=False all"
        files = "1 file" if packed.files == 1 else f"{packed.files} files"
        return packed.code, f"code: {files} of {found.root}, {sent} ({leave})"

    def _knows(self, code: str) -> bool:
        try:
            self._http.request("GET", self._path("code", code))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _for_project(self, ask: Any) -> Any:
        """What is asked; if the namespace is missing, after making it."""
        made_at: Optional[float] = None
        while True:
            try:
                return ask()
            except ApiError as error:
                if error.status != 404 or error.details.get("kind") != "namespaces":
                    raise
                if made_at is None:
                    self._make_project(error)
                    made_at = time.monotonic()
                elif time.monotonic() - made_at > _NOTICED_S:
                    raise
                time.sleep(0.02)

    def _make_project(self, missing: ApiError) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.project}}
        try:
            self._http.request("POST", "/api/v1/namespaces", body)
        except ApiError as error:
            if error.status == 409:
                return
            if error.status in (401, 403):
                words = f"{missing.message}, and you may not create it: ask for the namespace {self.project}"
                raise ApiError(error.status, error.code, words, missing.details) from error
            raise
        self._say(f"namespace {self.project} was created")

    def _path(self, *parts: str) -> str:
        # The colon of a digest may stand in a path as it is.
        below = "/".join(quoted(part).replace("%3A", ":") for part in parts)
        return f"/tasks/v1/namespaces/{quoted(self.project)}/{below}"

    def _say(self, words: str) -> None:
        if not self._quiet:
            print(f"mcplane: {words}", file=sys.stderr)


def _retries(plan: Retries) -> Dict[str, Any]:
    return {
        "maxAttempts": plan.max_attempts,
        "initialMs": milliseconds(plan.initial),
        "factor": plan.factor,
        "maxMs": milliseconds(plan.longest),
    }


def _named(words: Sequence[str], folder: str) -> Iterator[str]:
    """Which of the words name something in the folder."""
    for before, word in zip(["", *words], words):
        if before == "-m":
            first = word.split(".", 1)[0]
            candidates = [f"{first}.py", first]
        else:
            candidates = [word]
        for name in candidates:
            inside = name and not os.path.isabs(name) and not os.path.normpath(name).startswith("..")
            if inside and os.path.exists(os.path.join(folder, name)):
                yield os.path.normpath(name)
                break


def _is_script(word: str) -> bool:
    return word.endswith((".py", ".sh", ".R", ".ipynb")) and not os.path.isabs(word)


def _size(count: float) -> str:
    for unit in ("bytes", "KiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} MiB"

"""A server of mcplane: where it is, what it answers, and the process if it is ours."""

import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

# A server that was killed is started again by whoever looks after it.
PATIENCE = 120.0


class Malfunction(Exception):
    """Something broke; a refusal is none."""


class Server:
    def __init__(self, binary: pathlib.Path, data: pathlib.Path):
        self.binary, self.data = binary, data
        self.process = None

    def start(self, arguments: list) -> None:
        """Starts a server of our own. Ctrl-C reaches us, and we stop it in our own order."""
        self.data.mkdir(parents=True, exist_ok=True)
        log = open(self.data / "server.log", "ab")
        command = [self.binary, "server", "--data-dir", self.data, *arguments]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.told(self.process.pid)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def told(self, pid: int | None = None) -> dict:
        """What the server tells of itself in its data directory, once it is ready."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self.process is not None and self.process.poll() is not None:
                raise Malfunction(f"the server ended with {self.process.returncode}: see {self.data / 'server.log'}")
            try:
                told = json.loads((self.data / "server.json").read_text())
                if pid in (None, told["pid"]):
                    with urllib.request.urlopen(told["url"] + "/readyz", timeout=5):
                        return told
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.1)
        raise Malfunction(f"no server answers for {self.data}")

    @property
    def url(self) -> str:
        return self.told()["url"]

    def call(self, method: str, path: str, body=None, kind: str = "application/json", missing=None):
        """The answer as JSON; `missing` if there is no such thing. Waits for a server that is away."""
        data = None if body is None else json.dumps(body).encode()
        until = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(self.url + path, data, {"Content-Type": kind}, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code == 404 and missing is not None:
                    return missing
                if error.code < 500 or time.monotonic() > until:
                    raise Malfunction(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
            except (OSError, ValueError) as error:
                if time.monotonic() > until:
                    raise Malfunction(f"{method} {path}: {error}") from error
            time.sleep(0.2)

    def get(self, path: str, missing=None):
        return self.call("GET", path, missing=missing)

    def mcplane(self, *words, folder=None, fails=False) -> str:
        """The output of a command. Commands that change something may be given twice, so they are when a server went away."""
        until = time.monotonic() + PATIENCE
        while True:
            environment = {**os.environ, "MCPLANE_URL": self.url, "NO_COLOR": "1"}
            command = [self.binary, *map(str, words)]
            ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            if ended.returncode == 0 or (fails and ended.returncode == 1):
                return ended.stdout
            if "connect" not in ended.stderr.lower() or time.monotonic() > until:
                raise Malfunction(f"mcplane {' '.join(map(str, words))}: {ended.stderr or ended.stdout}")
            time.sleep(0.2)

"""Callers of the data plane, and those who tell later what was true."""

import http.client
import json
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from loop import DELIVERY
from server import PATIENCE, Malfunction, Server

# Flights that are asked about before time goes on.
AT_ONCE = 200
# Labels of one request.
LABELS = 1000


class Caller:
    """One connection to the data plane, which is made again when it breaks."""

    def __init__(self, server: Server, model: str):
        self.server, self.path = server, f"/v2/models/{model}/infer"
        self.connection = None

    def ask(self, features: list) -> tuple:
        """Id, revision and class of a prediction."""
        body = json.dumps({"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, len(features)],
                                       "data": features}]})
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if self.connection is None:
                    place = urlsplit(self.server.told()["serving"])
                    self.connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
                self.connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                answer = self.connection.getresponse()
                told = answer.read()
                if answer.status == 200:
                    late = json.loads(told)["outputs"][0]["data"][0]
                    return answer.getheader("x-mcplane-prediction-id"), answer.getheader("x-mcplane-version"), late
                if answer.status not in (502, 503, 504):
                    raise Malfunction(f"{self.path}: {answer.status} {told.decode(errors='replace')}")
            except (OSError, http.client.HTTPException):
                self.connection = None
            if time.monotonic() > until:
                raise Malfunction(f"{self.path} does not answer")
            time.sleep(0.1)


class Traffic:
    """Flights that leave, and land some hours later."""

    def __init__(self, server: Server, plan: dict):
        self.server, callers = server, plan["replay"]["callers"]
        self.delay = float(plan["labels"]["delay"].removesuffix("h")) * 3600
        self.callers = [Caller(server, plan["model"]) for _ in range(callers)]
        self.pool = ThreadPoolExecutor(callers)
        self.waiting = deque()
        self.labelled = None
        """The newest prediction whose label is known."""

    def leave(self, flights: list) -> list:
        """Asks about each flight; gives what was predicted, in order."""
        count = len(self.callers)
        asked = list(self.pool.map(lambda at: [self.callers[at].ask(flight.features) for flight in flights[at::count]],
                                   range(count)))
        predicted = [asked[at % count][at // count] for at in range(len(flights))]
        self.waiting.extend((flight.left + self.delay, told[0], flight.late) for flight, told in zip(flights, predicted))
        return predicted

    def land(self, now: float = float("inf")) -> None:
        """Tells the truth about those that have landed."""
        due = []
        while self.waiting and self.waiting[0][0] <= now:
            due.append(self.waiting.popleft())
        for at in range(0, len(due), LABELS):
            labels = [{"id": name, "value": late} for _, name, late in due[at:at + LABELS]]
            self.server.call("POST", f"{DELIVERY}/labels", {"labels": labels})
            self.labelled = labels[-1]["id"]

    def close(self) -> None:
        self.pool.shutdown()

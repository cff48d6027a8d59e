"""The stages of the loop. Each leaves a row in the timeline and is done once."""

import pathlib
import time

import flights
from server import PATIENCE, Malfunction, Server
from timeline import Timeline
from traffic import AT_ONCE, Traffic

NAMESPACE = "/apis/mcplane.io/v1alpha1/namespaces/default"
SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices/late-flights"
DELIVERY = "/delivery/v1/namespaces/default/rollouts/late-flights"
DECISIONS = "/data/v1/namespaces/default/decisions"
OBJECTS = ["contract-flights", "contract-weather", "view-departures", "view-weather", "gate", "monitor"]
EXPERIMENT = "late-flights-replay"


class Loop:
    def __init__(self, server: Server, timeline: Timeline, plan: dict, example: pathlib.Path, raw: pathlib.Path):
        self.server, self.timeline, self.plan = server, timeline, plan
        self.example, self.raw = example, raw.resolve()
        self.work = server.data.resolve() / "replay"
        hours = float(plan["labels"]["delay"].removesuffix("h"))
        self.traffic = Traffic(server, plan["model"], plan["replay"]["callers"], hours * 3600)
        self.running = None

    def declare(self) -> None:
        """Contracts, views, gate and monitor."""
        if self.timeline.begin("declare"):
            for name in OBJECTS:
                self.server.mcplane("apply", "-f", self.example / f"{name}.yaml")
            evidence = [(f"{NAMESPACE}/{kind}", "/spec/description", self.server.get(f"{NAMESPACE}/{kind}")["spec"]["description"])
                        for kind in ["datacontracts/flights", "datacontracts/weather"]]
            self.timeline.add("declare", f"{len(OBJECTS)} objects: contracts, views, gate, monitor", evidence)

    # Training: one run of the pipeline.

    def run(self, name: str, months: list, held_out: int, **parameters) -> dict:
        """A run of the pipeline to its end. Under its name there is one, whatever went away meanwhile."""
        path = f"{NAMESPACE}/pipelineruns/{name}"
        if not self.server.get(path, missing={}):
            data = flights.months_into_one(self.raw, months, self.work / f"{name}.csv")
            values = {"flights": data, "weather": self.raw / "weather.csv", "held_out_from": f"2013-{held_out:02}-01",
                      "model_name": self.plan["model"], "seed": self.plan["seed"], **parameters}
            words = [word for key, value in values.items() for word in ("-p", f"{key}={value}")]
            begin = ["pipeline", "run", self.example / "pipeline.yaml", "--name", name, "--detach", *words]
            try:
                self.server.mcplane(*begin)
            except Malfunction:
                # It may have begun just before the server went away.
                if not self.server.get(path, missing={}):
                    raise
        self.running = name
        while True:
            run = self.server.get(path)
            if run.get("status", {}).get("state") in ("SUCCEEDED", "FAILED", "CANCELED", "CANCELLED", "ERROR"):
                self.running = None
                return {"path": path, "state": run["status"]["state"], **self.steps(path)}
            time.sleep(0.3)

    def steps(self, path: str) -> dict:
        steps = self.server.get(path + "/steps")["steps"]
        failed = [step["task"] for step in steps if step["state"] == "FAILED"]
        version = next((step["outputs"]["parameters"]["Output"] for step in steps
                        if step["task"] == "train" and step["state"] == "SUCCEEDED"), None)
        return {"failed": failed, "version": version}

    def decision(self, version: str) -> dict:
        found = self.server.get(f"{DECISIONS}?model={self.plan['model']}&version={version}")["decisions"]
        if not found:
            raise Malfunction(f"no gate decided on version {version}")
        return found[0]

    def train(self, stage: str, months: list, held_out: int, **parameters) -> str | None:
        """Trains; gives the version if the gate passed it."""
        if self.timeline.begin(stage):
            run = self.run(stage.replace(" ", "-"), months, held_out, **parameters)
            if run["state"] != "SUCCEEDED":
                logs = self.server.mcplane("pipeline", "logs", stage.replace(" ", "-"))
                raise Malfunction(f"run {run['path']} ended {run['state']}:\n{logs[-3000:]}")
            decision = self.decision(run["version"])
            told = f"version {run['version']} of {len(months)} months: the gate says {decision['verdict']}"
            told += "".join(f"; {reason}" for reason in decision.get("reasons", []))
            evidence = [(run["path"], "/status/state", "SUCCEEDED"),
                        (f"{DECISIONS}/{decision['id']}", "/verdict", decision["verdict"])]
            self.timeline.add(stage, told, evidence, version=run["version"], decision=decision["id"],
                              passed=decision["verdict"] == "Pass")
        row = self.timeline.row(stage)
        return row["version"] if row["passed"] else None

    def stopped_by_contract(self, stage: str, months: list, held_out: int, airport: str) -> None:
        """A delivery with a planted fault; training must not begin."""
        if not self.timeline.begin(stage):
            return
        name = stage.replace(" ", "-")
        path = self.work / f"{name}.csv"
        original, self.raw = self.raw, self.work / name
        try:
            self.raw.mkdir(parents=True, exist_ok=True)
            for file in original.iterdir():
                (self.raw / file.name).unlink(missing_ok=True)
                (self.raw / file.name).write_bytes(file.read_bytes())
            flights.plant(flights.month_file(self.raw, held_out), airport)
            run = self.run(name, months, held_out)
        finally:
            self.raw = original
        if run["state"] != "FAILED" or "check-contract" not in run["failed"] or run["version"]:
            raise Malfunction(f"the contract should have stopped {path}, but the run ended {run}")
        reports = self.server.get("/data/v1/namespaces/default/reports?contract=flights&limit=1")["reports"]
        report = reports[0]
        evidence = [(run["path"], "/status/state", "FAILED"),
                    (f"/data/v1/namespaces/default/reports/{report['id']}", "/id", report["id"])]
        self.timeline.add(stage, f"airport {airport} in one row: the contract stopped the run before training", evidence)

    # Deployment.

    def deploy(self, stage: str, version: str) -> None:
        """Asks the gates whether the version may be deployed, and has the service serve it."""
        if not self.timeline.begin(stage):
            return
        told = self.server.mcplane("gate", "check", "--model", self.plan["model"], "--version", version)
        first = not self.server.get(SERVICE, missing={})
        uri = f"models:/{self.plan['model']}/{version}"
        if first:
            for name in ["service", "rollout"]:
                self.server.mcplane("apply", "-f", self.example / f"{name}.yaml")
        patch = {"spec": {"predictor": {"model": {"storageUri": uri}}}}
        self.server.call("PATCH", SERVICE, patch, "application/merge-patch+json")
        revision = self.revision(version)
        evidence = [(SERVICE, f"/status/revisions/[name={revision}]/version", int(version))] if first else []
        self.timeline.add(stage, f"{uri} is {revision}; {told.strip()}", evidence, revision=revision)

    def revision(self, version: str) -> str:
        """The revision that holds a version, once it is loaded."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            status = self.server.get(SERVICE).get("status", {})
            for revision in status.get("revisions", []):
                latest = status["components"]["predictor"].get("latestReadyRevision")
                if str(revision["version"]) == version and revision["name"] == latest:
                    return revision["name"]
            time.sleep(0.2)
        raise Malfunction(f"version {version} is not ready: {status}")

    def override(self, stage: str, decision: str, reason: str) -> None:
        """An operator lets a version on that the gate refused."""
        if self.timeline.begin(stage):
            path = f"{DECISIONS}/{decision}"
            if not self.server.get(path).get("override"):
                self.server.mcplane("gate", "override", decision, "--reason", reason)
            override = self.server.get(path)["override"]
            audit = f"/audit?verb=override&resource=decisions&name={decision}"
            evidence = [(path, "/override/reason", reason), (audit, "/items/0/outcome", "allowed")]
            self.timeline.add(stage, f"by {override.get('by', '?')}: {reason}", evidence)

    # Replay.

    def replay(self, stage: str, month: int) -> None:
        """A month's flights in the order in which they left; their labels come when they have landed."""
        if not self.timeline.begin(stage):
            return
        asked = flights.features(self.server, self.raw, month, self.work)[:: self.plan["replay"]["every"]]
        right = late = 0
        of = {}
        said = time.monotonic()
        for at in range(0, len(asked), AT_ONCE):
            chunk = asked[at:at + AT_ONCE]
            for flight, (_, revision, predicted) in zip(chunk, self.traffic.leave(chunk)):
                right += predicted == flight.late
                late += flight.late
                of[revision] = of.get(revision, 0) + 1
            self.traffic.land(now=chunk[-1].left)
            if time.monotonic() - said > 5:
                said = time.monotonic()
                self.timeline.say(f"  {at + len(chunk)} of {len(asked)} flights")
        if month == self.plan["replay"]["months"][-1]:
            self.traffic.land()
        last = self.traffic.waiting[-1][1] if self.traffic.waiting else None
        numbers = {"flights": len(asked), "late": late / len(asked), "accuracy": right / len(asked)}
        run = self.log(stage, numbers)
        shares = ", ".join(f"{revision[-2:]}: {count}" for revision, count in sorted(of.items()))
        told = f"{len(asked)} flights ({shares}), {late / len(asked):.1%} late, accuracy {right / len(asked):.4f}"
        evidence = [(run, f"/run/data/metrics/[key={key}]/value", value) for key, value in numbers.items()]
        self.timeline.add(stage, told, evidence, prediction=last)

    def log(self, name: str, numbers: dict) -> str:
        """The month as a run in tracking; its path."""
        base = "/api/2.0/mlflow/"
        found = self.server.get(f"{base}experiments/get-by-name?experiment_name={EXPERIMENT}", missing={})
        experiment = (found.get("experiment") or self.server.call(
            "POST", base + "experiments/create", {"name": EXPERIMENT}))["experiment_id"]
        now = int(time.time() * 1000)
        run = self.server.call("POST", base + "runs/create",
                               {"experiment_id": experiment, "run_name": name, "start_time": now})["run"]["info"]["run_id"]
        metrics = [{"key": key, "value": value, "timestamp": now, "step": 0} for key, value in numbers.items()]
        self.server.call("POST", base + "runs/log-batch", {"run_id": run, "metrics": metrics})
        self.server.call("POST", base + "runs/update", {"run_id": run, "status": "FINISHED", "end_time": now})
        return f"{base}runs/get?run_id={run}"

    def watch(self, stage: str) -> bool:
        """What the monitor says at a month's end; tells whether an alert is open."""
        if self.timeline.begin(stage):
            time.sleep(2.5)
            status = self.server.get(f"{NAMESPACE}/monitors/late-flights")["status"]
            alerts = [alert["summary"] for version in status["versions"] for alert in version["alerts"]]
            events = "/api/v1/namespaces/default/events"
            raised = self.server.get(f"{events}?fieldSelector=reason=AlertRaised")["items"]
            known = {one["get"] for row in self.timeline.rows for one in row["evidence"]}
            paths = {f"{events}/{event['metadata']['name']}": event["message"] for event in raised}
            new = {path: message for path, message in paths.items() if path not in known}
            readings = [f"{one['metric']} {one['value']:.3f}" for one in status["versions"][-1]["readings"]
                        if "column" not in one and one["metric"] in ("accuracy", "f1") and one["value"] is not None]
            told = f"{status['level']}, {len(alerts)} alerts open, {len(new)} new; {', '.join(readings)}"
            told += "".join(f"\n        ! {message}" for message in new.values())
            self.timeline.add(stage, told, [(path, "/message", message) for path, message in new.items()],
                              alert=bool(alerts))
        return self.timeline.row(stage)["alert"]

    def rolled_out(self, stage: str, revision: str, wait: float = 0) -> str | None:
        """What became of a revision that went out, if it is over."""
        row = self.timeline.row(stage)
        if row:
            return row["phase"]
        status = self.server.get(f"{NAMESPACE}/rollouts/late-flights").get("status", {})
        over = status.get("phase") in ("Succeeded", "RolledBack") and status.get("version") == revision
        if not over:
            return None
        decisions = self.server.get(f"{DELIVERY}/decisions")["decisions"]
        mine = [one for one in reversed(decisions) if one["version"] == revision]
        told = f"{revision} {status['phase']}: " + "; ".join(f"{one['action']} ({one['message']})" for one in mine)
        evidence = [(f"{DELIVERY}/decisions", f"/decisions/[at={one['at']}]/message", one["message"]) for one in mine]
        self.timeline.add(stage, told, evidence, phase=status["phase"])
        return status["phase"]

"""A month as the service lives it: flights that leave and land, and what the monitor says at its end."""

import time

import flights
from loop import EVENTS, KINDS, MLFLOW, Loop
from traffic import AT_ONCE, Traffic

EXPERIMENT = "late-flights-replay"
# Two looks of the monitor.
SETTLED = 2.5


def replay(loop: Loop, traffic: Traffic, stage: str, month: int) -> None:
    """Asks about the flights of a month in the order in which they left; their labels come when they have landed."""
    if not loop.timeline.begin(stage):
        return
    asked = flights.features(loop.server, loop.raw, month, loop.work)[:: loop.plan["replay"]["every"]]
    right, late, by = 0, 0, {}
    said = time.monotonic()
    for at in range(0, len(asked), AT_ONCE):
        chunk = asked[at:at + AT_ONCE]
        for flight, (_, revision, predicted) in zip(chunk, traffic.leave(chunk)):
            right += predicted == flight.late
            late += flight.late
            by[revision] = by.get(revision, 0) + 1
        traffic.land(now=chunk[-1].left)
        if time.monotonic() - said > 5:
            said = time.monotonic()
            loop.timeline.say(f"  {at + len(chunk)} of {len(asked)} flights")
    if month == loop.plan["replay"]["months"][-1]:
        traffic.land()
    numbers = {"flights": float(len(asked)), "late": late / len(asked), "accuracy": right / len(asked)}
    run = log(loop, stage, numbers)
    shares = ", ".join(f"{count} by {revision}" for revision, count in sorted(by.items()))
    told = f"accuracy {right / len(asked):.4f}, {late / len(asked):.1%} late; {len(asked)} flights: {shares}"
    evidence = [(run, f"/run/data/metrics/[key={key}]/value", value) for key, value in numbers.items()]
    loop.timeline.add(stage, told, evidence, prediction=traffic.labelled, serving=max(by, key=by.get))


def log(loop: Loop, name: str, numbers: dict) -> str:
    """The numbers of a month as a run in tracking; its path."""
    call, now = loop.server.call, int(time.time() * 1000)
    found = loop.server.get(f"{MLFLOW}/experiments/get-by-name?experiment_name={EXPERIMENT}", missing={})
    made = found.get("experiment") or call("POST", f"{MLFLOW}/experiments/create", {"name": EXPERIMENT})
    new = {"experiment_id": made["experiment_id"], "run_name": name, "start_time": now}
    run = call("POST", f"{MLFLOW}/runs/create", new)["run"]["info"]["run_id"]
    metrics = [{"key": key, "value": value, "timestamp": now, "step": 0} for key, value in numbers.items()]
    call("POST", f"{MLFLOW}/runs/log-batch", {"run_id": run, "metrics": metrics})
    call("POST", f"{MLFLOW}/runs/update", {"run_id": run, "status": "FINISHED", "end_time": now})
    return f"{MLFLOW}/runs/get?run_id={run}"


def watch(loop: Loop, stage: str, serving: str) -> bool:
    """What the monitor says of the revision that serves; tells whether an alert is open."""
    if loop.timeline.begin(stage):
        time.sleep(SETTLED)
        status = loop.server.get(f"{KINDS}/monitors/late-flights")["status"]
        version = next((one for one in status["versions"] if one["version"] == serving), {"alerts": [], "readings": []})
        raised = loop.server.get(f"{EVENTS}?fieldSelector=reason=AlertRaised")["items"]
        known = {one["get"] for row in loop.timeline.rows for one in row["evidence"]}
        paths = {f"{EVENTS}/{event['metadata']['name']}": event["message"] for event in raised}
        new = {path: message for path, message in paths.items() if path not in known}
        quality = [f"{one['metric']} {one['value']:.3f}" for one in version["readings"]
                   if one["metric"] in ("accuracy", "f1") and one["value"] is not None]
        told = f"{len(version['alerts'])} alerts open, {len(new)} raised this month; {', '.join(quality)}"
        evidence = [(path, "/message", message) for path, message in new.items()]
        details = sorted(f"! {named(message)}" for message in new.values())
        loop.timeline.add(stage, told, evidence, details, alert=bool(version["alerts"]))
    return loop.timeline.row(stage)["alert"]


def named(message: str) -> str:
    """Columns of the tensor by what they are."""
    for at, column in reversed(list(enumerate(flights.COLUMNS))):
        message = message.replace(f"input[{at}]", column)
    return message

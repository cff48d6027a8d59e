"""Runs of the pipeline: what is trained, what the gate says of it, and what is stopped before."""

import pathlib
import subprocess
import time

import flights
from loop import DATA, KINDS, Loop
from server import Malfunction


def train(loop: Loop, stage: str, months: list, held_out: int, **parameters) -> bool:
    """Trains on months and has the last one judge; tells whether the gate passed the version."""
    if loop.timeline.begin(stage):
        name = stage.replace(" ", "-")
        run = to_the_end(loop, name, months, held_out, **parameters)
        if run["state"] != "SUCCEEDED":
            raise Malfunction(f"run {name} ended {run['state']}:\n{loop.server.mcplane('pipeline', 'logs', name)[-3000:]}")
        found = loop.server.get(f"{DATA}/decisions?model={loop.plan['model']}&version={run['version']}")["decisions"]
        if not found:
            raise Malfunction(f"no gate decided on version {run['version']}")
        decision = found[0]
        reasons = [reason.partition(": ")[2] for reason in decision["reasons"]]
        told = f"version {run['version']}, of {len(months)} months: {decision['verdict']}; {reasons[-1]}"
        evidence = [(run["path"], "/status/state", run["state"]),
                    (f"{DATA}/decisions/{decision['id']}", "/verdict", decision["verdict"])]
        loop.timeline.add(stage, told, evidence, version=run["version"], decision=decision["id"],
                          passed=decision["verdict"] == "Pass")
    return loop.timeline.row(stage)["passed"]


def stopped_by_contract(loop: Loop, stage: str, months: list, held_out: int, airport: str) -> None:
    """A delivery with a fault in it: training must not begin."""
    if not loop.timeline.begin(stage):
        return
    run = to_the_end(loop, stage.replace(" ", "-"), months, held_out, planted=airport)
    if run["state"] != "FAILED" or "check-contract" not in run["failed"] or run["version"]:
        raise Malfunction(f"the contract should have stopped the run: {run}")
    report = loop.server.get(f"{DATA}/reports?contract=flights&limit=1")["reports"][0]
    told = f"airport {airport} in one row of sha256 {report['sha256'][:12]}…: nothing was trained"
    evidence = [(run["path"], "/status/state", run["state"]),
                (f"{DATA}/reports/{report['id']}", "/sha256", report["sha256"]),
                (f"{DATA}/reports/{report['id']}", "/outcome", report["outcome"])]
    loop.timeline.add(stage, told, evidence)


def to_the_end(loop: Loop, name: str, months: list, held_out: int, planted=None, **parameters) -> dict:
    """A run of the pipeline. There is one under its name, whatever goes away meanwhile."""
    path = f"{KINDS}/pipelineruns/{name}"
    loop.running = name
    state = ended(loop, name)
    if state == "CANCELED":
        # By Ctrl-C, the time before.
        loop.server.mcplane("delete", "pipelinerun", name)
        state = None
    if state is None:
        begin(loop, name, months, held_out, planted, parameters)
        state = ended(loop, name)
    loop.running = None
    steps = loop.server.get(path + "/steps")["steps"]
    versions = [step["outputs"]["parameters"]["Output"] for step in steps
                if step["task"] == "train" and step["state"] == "SUCCEEDED"]
    failed = [step["task"] for step in steps if step["state"] == "FAILED"]
    return {"path": path, "state": state, "failed": failed, "version": versions[0] if versions else None}


def ended(loop: Loop, name: str) -> str | None:
    """How a run ends; none if there is no such run."""
    while run := loop.server.get(f"{KINDS}/pipelineruns/{name}", missing={}):
        state = run.get("status", {}).get("state")
        if state in ("SUCCEEDED", "FAILED", "CANCELED"):
            return state
        time.sleep(0.3)
    return None


def end_work(loop: Loop) -> None:
    """Ends the run under way, and what was begun for it and others: tasks outlive a server that stops."""
    if loop.running and loop.server.get(f"{KINDS}/pipelineruns/{loop.running}", missing={}):
        loop.server.mcplane("pipeline", "cancel", loop.running)
        ended(loop, loop.running)
    while tasks := loop.server.get("/tasks/v1/namespaces/default/tasks?state=waiting,ready,running")["tasks"]:
        for task in tasks:
            # One that ended meanwhile can't be cancelled.
            loop.server.mcplane("task", "cancel", task["id"], fails=True)
        time.sleep(0.3)


def begin(loop: Loop, name: str, months: list, held_out: int, planted, parameters: dict) -> None:
    data = flights.months_into_one(loop.raw, months, loop.work / f"{name}.csv")
    if planted:
        flights.plant(data, planted)
    values = {"flights": data, "weather": loop.raw / "weather.csv", "held_out_from": f"2013-{held_out:02}-01",
              "model_name": loop.plan["model"], "seed": loop.plan["seed"],
              "commit": commit(loop.example), **parameters}
    words = [word for key, value in values.items() for word in ("-p", f"{key}={value}")]
    try:
        loop.server.mcplane("pipeline", "run", loop.example / "pipeline.yaml", "--name", name, "--detach", *words)
    except Malfunction:
        # It may have begun just before the server went away.
        if not loop.server.get(f"{KINDS}/pipelineruns/{name}", missing={}):
            raise


def commit(folder: pathlib.Path) -> str:
    """The commit of the checkout that the pipeline is in, with `-dirty` if something differs from it; empty elsewhere."""
    try:
        told = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], cwd=folder,
                              capture_output=True, text=True)
    except OSError:
        return ""
    return told.stdout.strip()

"""Versions that go out, by the gate's word or an operator's, and what becomes of them."""

import time

from loop import DATA, DELIVERY, SERVICE, Loop
from server import PATIENCE, Malfunction

ROLLOUT = f"{DELIVERY}/rollouts/late-flights/decisions"
AUDIT = "/audit?name=late-flights&resource=inferenceservices.serving.kserve.io"


def deploy(loop: Loop, stage: str, version: str, first: bool = False) -> None:
    """Has the service serve a version, if the gates say that it may be deployed."""
    if not loop.timeline.begin(stage):
        return
    told = loop.server.mcplane("gate", "check", "--model", loop.plan["model"], "--version", version)
    if first:
        for name in ["service", "rollout"]:
            loop.server.mcplane("apply", "-f", loop.example / f"{name}.yaml")
    uri = f"models:/{loop.plan['model']}/{version}"
    patch = {"spec": {"predictor": {"model": {"storageUri": uri}}}}
    loop.server.call("PATCH", SERVICE, patch, "application/merge-patch+json")
    revision = loaded(loop, version)
    if first:
        evidence = [(f"{AUDIT}&verb=create", "/items/0/outcome", "allowed")]
    else:
        until(lambda: any(one["version"] == revision for one in loop.server.get(ROLLOUT)["decisions"]),
              f"{revision} does not go out")
        evidence = [(ROLLOUT, f"/decisions/[version={revision}]/version", revision)]
    loop.timeline.add(stage, f"{uri} as {revision}: {told.splitlines()[0]}", evidence, revision=revision)


def loaded(loop: Loop, version: str) -> str:
    """The revision that holds a version, once it is the newest that answers."""
    found = []

    def look() -> bool:
        status = loop.server.get(SERVICE).get("status", {})
        newest = status.get("components", {}).get("predictor", {}).get("latestReadyRevision")
        found[:] = [one["name"] for one in status.get("revisions", [])
                    if str(one["version"]) == version and one["name"] == newest]
        return bool(found)

    until(look, f"version {version} is not ready")
    return found[0]


def until(done, otherwise: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise Malfunction(otherwise)
        time.sleep(0.2)


def override(loop: Loop, stage: str, decision: str, reason: str) -> None:
    """An operator lets a version on that the gate refused."""
    if not loop.timeline.begin(stage):
        return
    path = f"{DATA}/decisions/{decision}"
    if not loop.server.get(path).get("override"):
        loop.server.mcplane("gate", "override", decision, "--reason", reason)
    by = loop.server.get(path)["override"]["by"]
    audit = f"/audit?verb=override&resource=decisions.data.mcplane.io&name={decision}"
    evidence = [(path, "/override/reason", reason), (audit, "/items/0/actor", by)]
    loop.timeline.add(stage, f"{by}: {reason}", evidence)


def gone_out(loop: Loop, stage: str, revision: str, last: bool) -> bool:
    """Whether it is over with a revision that goes out; at the end of the replay it may be told as it is."""
    if loop.timeline.row(stage):
        return True
    decisions = [one for one in loop.server.get(ROLLOUT)["decisions"] if one["version"] == revision]
    newest = decisions[0] if decisions else {"action": "Waiting", "message": "nothing was decided so far"}
    over = newest["action"] in ("Succeeded", "RolledBack")
    if not over and not last:
        return False
    details = [f"{one['action']}: {one['message']}" for one in reversed(decisions)]
    evidence = [(ROLLOUT, f"/decisions/[at={one['at']}]/message", one["message"]) for one in decisions]
    told = f"{newest['action'] if over else 'still under way'}: {newest['message']}"
    loop.timeline.add(stage, told, evidence, details, phase=newest["action"])
    return over

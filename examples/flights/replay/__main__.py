"""Replays a year of flights against a server, with models that are trained, judged, rolled out, watched and replaced.

    python replay --binary mcplane --data DIRECTORY --raw DIRECTORY [--plan plan.yaml] [--start -- SERVER ARGUMENTS]

`--data` is the data directory of a running server, or with `--start` of one that is started and stopped here. The raw
files are those that data.py writes. What is done is in `--plan`; what came of it, in `DATA/replay/timeline.json`.
"""

import argparse
import pathlib
import shutil
import sys

import yaml
from server import Malfunction, Server
from stages import Loop
from timeline import Timeline


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="mcplane")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--raw", type=pathlib.Path, required=True)
    parser.add_argument("--plan", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "plan.yaml")
    parser.add_argument("--start", action="store_true", help="start a server, and stop it at the end")
    parser.add_argument("--stay", action="store_true", help="leave the server running until Ctrl-C")
    parser.add_argument("server", nargs="*", help="arguments of the server that is started")
    given = parser.parse_args()
    binary = shutil.which(given.binary)
    if binary is None:
        parser.error(f"there is no program {given.binary}")
    server = Server(pathlib.Path(binary).resolve(), given.data)
    loop = None
    try:
        if given.start:
            server.start(given.server)
        (given.data / "replay").mkdir(exist_ok=True)
        timeline = Timeline(given.data / "replay" / "timeline.json")
        loop = Loop(server, timeline, yaml.safe_load(given.plan.read_text()), given.plan.parent, given.raw)
        live(loop)
        timeline.show()
        further(server, timeline)
        if given.start and given.stay:
            print("\nThe server goes on until Ctrl-C.", flush=True)
            server.process.wait()
    except Malfunction as fault:
        print(f"replay: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if loop is not None and loop.running:
            server.mcplane("pipeline", "cancel", loop.running)
        print("\nstopped; the same command goes on from here", flush=True)
        return 130
    finally:
        server.stop()
    return 0


def live(loop: Loop) -> None:
    """The year."""
    plan = loop.plan
    loop.declare()
    version = loop.train("train", plan["train"]["months"], plan["train"]["heldOut"])
    if version is None:
        raise Malfunction("the first model did not pass the gate")
    loop.deploy("deploy", version)
    going = None
    for month in plan["replay"]["months"]:
        name = f"2013-{month:02}"
        loop.replay(f"{name} replay", month)
        if going and loop.rolled_out(*going):
            going = None
        alert = loop.watch(f"{name} monitor")
        seen = [*plan["train"]["months"], *range(plan["replay"]["months"][0], month + 1)]
        if month == plan["badData"]["month"]:
            loop.stopped_by_contract(f"{name} contract", seen, month, plan["badData"]["airport"])
        if month in plan["retrain"]["after"] and alert:
            version = loop.train(f"{name} retrain", seen, month)
            if version is not None:
                loop.deploy(f"{name} deploy", version)
                going = (f"{name} canary", loop.timeline.row(f"{name} deploy")["revision"])
        if month == plan["weak"]["after"]:
            going = weak(loop, name, seen, month)
    loop.traffic.pool.shutdown()


def weak(loop: Loop, name: str, seen: list, month: int) -> tuple:
    """A model that knows little goes out against the gate's word."""
    plan = loop.plan["weak"]
    if loop.train(f"{name} weak", seen, month, iterations=plan["iterations"]) is not None:
        raise Malfunction("the gate passed a model of two trees")
    row = loop.timeline.row(f"{name} weak")
    loop.override(f"{name} override", row["decision"], plan["reason"])
    loop.deploy(f"{name} weak deploy", row["version"])
    return f"{name} weak canary", loop.timeline.row(f"{name} weak deploy")["revision"]


def further(server: Server, timeline: Timeline) -> None:
    url = server.url
    print(f"\nLook further\n  export MCPLANE_URL={url}")
    for command in ["mcplane rollout decisions late-flights", "mcplane monitor late-flights",
                    "mcplane gate decisions --model late-flights", "mcplane audit --verb override",
                    "mcplane pipeline list", f"kubectl -s {url} get isvc,rollouts,monitors,events"]:
        print(f"  {command}")
    prediction = next((row["prediction"] for row in reversed(timeline.rows) if row.get("prediction")), None)
    if prediction:
        print(f"  mcplane lineage prediction:{prediction}")


if __name__ == "__main__":
    sys.exit(main())

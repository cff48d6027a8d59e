"""Replays a year of flights against a server, with models that are trained, judged, rolled out, watched and replaced.

    python replay --binary mcplane --data DIRECTORY --raw DIRECTORY [--plan plan.yaml] [--start -- SERVER ARGUMENTS]

`--data` is the data directory of a running server, or with `--start` of one that is started and stopped here. The raw
files are those that data.py writes. What is done is in `--plan`; what came of it, in `DATA/replay/timeline.json`.
"""

import argparse
import pathlib
import shutil
import signal
import sys

import yaml
from delivery import deploy, gone_out, override
from loop import Loop
from months import replay, watch
from server import Malfunction, Server
from timeline import Timeline
from traffic import Traffic
from training import end_work, stopped_by_contract, train

OBJECTS = ["contract-flights", "contract-weather", "view-departures", "view-weather", "gate", "monitor"]


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
    # Nothing stays behind, however it is told to end.
    for word in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
        signal.signal(word, signal.default_int_handler)
    server = Server(pathlib.Path(binary).resolve(), given.data)
    loop = None
    try:
        if given.start:
            server.start(given.server)
        (given.data / "replay").mkdir(exist_ok=True)
        timeline = Timeline(given.data / "replay" / "timeline.json")
        loop = Loop(server, timeline, yaml.safe_load(given.plan.read_text()), given.plan.parent, given.raw.resolve())
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
        if loop is not None:
            end_work(loop)
        print("\nstopped; the same command goes on from here", flush=True)
        return 130
    finally:
        server.stop()
    return 0


def live(loop: Loop) -> None:
    """The year."""
    plan = loop.plan
    loop.declare("declare", OBJECTS)
    if not train(loop, "train", plan["train"]["months"], plan["train"]["heldOut"]):
        raise Malfunction("the first model did not pass the gate")
    deploy(loop, "deploy", loop.timeline.row("train")["version"], first=True)
    traffic, going = Traffic(loop.server, plan), []
    for month in plan["replay"]["months"]:
        name, last = f"2013-{month:02}", month == plan["replay"]["months"][-1]
        replay(loop, traffic, f"{name} replay", month)
        going = [one for one in going if not gone_out(loop, *one, last)]
        alert = watch(loop, f"{name} monitor", loop.timeline.row(f"{name} replay")["serving"])
        going += month_end(loop, name, month, alert)
    traffic.close()


def month_end(loop: Loop, name: str, month: int, alert: bool) -> list[tuple]:
    """What the plan has for the end of a month; gives the revisions that go out then."""
    plan = loop.plan
    seen = [*plan["train"]["months"], *range(plan["replay"]["months"][0], month + 1)]
    if month == plan["badData"]["month"]:
        stopped_by_contract(loop, f"{name} contract", seen, month, plan["badData"]["airport"])
    if month in plan["retrain"]["after"] and alert and train(loop, f"{name} retrain", seen, month):
        deploy(loop, f"{name} deploy", loop.timeline.row(f"{name} retrain")["version"])
        return [(f"{name} canary", loop.timeline.row(f"{name} deploy")["revision"])]
    if month == plan["weak"]["after"]:
        if train(loop, f"{name} weak", seen, month, iterations=plan["weak"]["iterations"]):
            raise Malfunction("the gate passed a model that knows nothing")
        row = loop.timeline.row(f"{name} weak")
        override(loop, f"{name} override", row["decision"], plan["weak"]["reason"])
        deploy(loop, f"{name} weak deploy", row["version"])
        return [(f"{name} weak canary", loop.timeline.row(f"{name} weak deploy")["revision"])]
    return []


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

"""Milliseconds of processor time that a peer takes for each step of a chain: `peers.py kfp.local|prefect STEPS`."""

import os
import resource
import subprocess
import sys
import time


def children():
    """Processor seconds of the processes below this one that are running."""
    ticks, total = os.sysconf("SC_CLK_TCK"), 0
    below, found = {os.getpid()}, True
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    stats[int(name)] = file.read().rsplit(")", 1)[1].split()
            except OSError:
                pass
    while found:
        found = {pid for pid, stat in stats.items() if int(stat[1]) in below and pid not in below}
        below |= found
    for pid in below - {os.getpid()}:
        total += (int(stats[pid][11]) + int(stats[pid][12])) / ticks
    return total


def taken():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime + children()


def kfp_local(steps):
    from unittest import mock

    # The client of Kubeflow's REST API comes as source alone, and running here needs none of it.
    sys.modules.setdefault("kfp_server_api", mock.MagicMock())
    from kfp import dsl, local

    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=os.getcwd())
    sys.path.insert(0, os.getcwd())

    @dsl.component(install_kfp_package=False)
    def nothing():
        pass

    def chain(count):
        @dsl.pipeline(name="chain")
        def pipeline():
            before = None
            for _ in range(count):
                now = nothing()
                if before is not None:
                    now.after(before)
                before = now

        return pipeline

    return lambda count: chain(count)()


def prefect(_):
    from prefect import flow, task

    @task
    def nothing():
        subprocess.run(["true"], check=True)

    @flow
    def chain(count):
        for _ in range(count):
            nothing()

    return chain


def main():
    peer, steps = sys.argv[1], int(sys.argv[2])
    run = {"kfp.local": kfp_local, "prefect": prefect}[peer](steps)
    run(1)
    before = taken()
    run(steps)
    # What is told in the background belongs to it.
    time.sleep(3 if peer == "prefect" else 0)
    print((taken() - before) / steps * 1000)


main()

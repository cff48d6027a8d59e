"""Jobs that do nothing through procrastinate, on the database of the argument: deferred in batches, then worked off."""

import asyncio
import json
import resource
import sys
import time

import procrastinate


async def main(url: str, jobs: int, workers: int) -> None:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="noop", queue="bench")
    async def noop(n: int) -> None:
        pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        began = time.perf_counter()
        for first in range(0, jobs, 1000):
            await noop.batch_defer_async(*({"n": n} for n in range(first, min(first + 1000, jobs))))
        deferred = time.perf_counter()
        await app.run_worker_async(queues=["bench"], concurrency=workers, wait=False, install_signal_handlers=False)
        done = time.perf_counter()
        rows = await app.connector.execute_query_all_async(
            "SELECT count(*) AS count FROM procrastinate_jobs WHERE status = 'succeeded'"
        )
        assert rows[0]["count"] == jobs, rows
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "rate": jobs / (done - began),
                "work_rate": jobs / (done - deferred),
                "cpu_us": (used.ru_utime + used.ru_stime) / jobs * 1e6,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

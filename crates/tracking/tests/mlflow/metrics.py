"""Metrics and batches, in requests that say the same to every server of this dialect.

`python metrics.py URL [URL ...]` runs each case against each server and compares their answers; under pytest the server is
MLFLOW_TRACKING_URI, and the answers are compared with those that are written here.
"""

import json
import os
import sys
import urllib.error
import urllib.request
import uuid


class Server:
    """A server, and an experiment of its own on it."""

    def __init__(self, url):
        self.url = url.rstrip("/")
        name = f"differential-{uuid.uuid4().hex}"
        self.experiment = self.post("experiments/create", name=name)[1]["experiment_id"]

    def send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read()
            body = json.loads(text) if text.startswith(b"{") else {"error_code": "HTML", "message": ""}
            return error.code, {key: body[key] for key in ("error_code", "message")}

    def post(self, path, **body):
        return self.send("POST", f"/api/2.0/mlflow/{path}", body)

    def get(self, path):
        return self.send("GET", f"/api/2.0/mlflow/{path}")

    def run(self, name="r", start=1, **logged):
        """A run with metrics, parameters and tags."""
        created = self.post("runs/create", experiment_id=self.experiment, start_time=start, run_name=name)
        run = created[1]["run"]["info"]["run_id"]
        pairs = {what: [{"key": k, "value": v} for k, v in logged.get(what, {}).items()] for what in ("params", "tags")}
        metrics = [point(key, value) for key, value in logged.get("metrics", {}).items()]
        assert self.post("runs/log-batch", run_id=run, metrics=metrics, **pairs) == (200, {})
        return run


def point(key, value, timestamp=1, step=0):
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


def history_repeats_nothing(server):
    run = server.run()
    answers = []
    for value in (1.5, "2.5", 1.5, "NaN", "Infinity", "-Infinity", "NaN", 0, 1e-320, -0.0):
        answers.append(server.post("runs/log-metric", run_id=run, key="a", value=value, timestamp=7))
    batch = [point("a", 1.5, 7), point("a", 3, 2, 9), point("b", 1), point("a", 3, 2, 9), point("c", 1, 5, -3)]
    for _ in range(2):
        answers.append(server.post("runs/log-batch", run_id=run, metrics=batch))
    for key in "abcd":
        answers.append(server.get(f"metrics/get-history?run_id={run}&metric_key={key}"))
    metrics = server.get(f"runs/get?run_id={run}")[1]["run"]["data"]["metrics"]
    return answers, sorted(metrics, key=lambda metric: metric["key"])


def latest_is_by_step_time_and_value(server):
    run = server.run()
    for value, timestamp, step in ((1, 5, 3), (2, 9, 2), (3, 4, 3), (4, 5, 3), ("NaN", 5, 3), (-1, 5, 3)):
        server.post("runs/log-metric", run_id=run, key="l", value=value, timestamp=timestamp, step=step)
    return server.get(f"runs/get?run_id={run}")[1]["run"]["data"]["metrics"]


def pages_and_samples(server):
    run = server.run()
    server.post("runs/log-batch", run_id=run, metrics=[point("h", (7 * n) % 11, 100 - n, n) for n in range(50)])
    server.post("runs/log-batch", run_id=run, metrics=[point("h", n, 50, 25) for n in range(50)])
    answers, query = [], f"metrics/get-history?run_id={run}&metric_key=h&max_results=30"
    answers.append(server.get(query))
    while "next_page_token" in answers[-1][1]:
        answers.append(server.get(f"{query}&page_token={answers[-1][1]['next_page_token']}"))
    interval = f"metrics/get-history-bulk-interval?run_ids={run}&metric_key=h"
    for more in ("", "&max_results=1", "&max_results=2", "&max_results=7", "&max_results=99",
                 "&start_step=10&end_step=25&max_results=9", "&start_step=60&end_step=70"):
        answers.append(server.get(interval + more))
    answers.append(server.send("GET", f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={run}&metric_key=h&max_results=5"))
    return json.loads(json.dumps(answers).replace(run, "RUN"))


def what_is_refused(server):
    run = server.run(params={"lr": "1", "q": "it's"})
    pair = {"key": "p", "value": "1"}
    good = {"run_id": run, "key": "a", "value": 1.5, "timestamp": 1}
    singles = [
        {"value": None}, {"timestamp": None}, {"key": ""}, {"run_id": ""}, {"run_id": "none"}, {"value": "abc"},
        {"timestamp": "x"}, {"timestamp": -1}, {"timestamp": -1, "value": 1e-7}, {"step": "x"}, {"key": "a%b"},
        {"key": "../b"}, {"key": "k" * 251},
    ]
    batches = [
        {"metrics": [point("m", 1, step=n) for n in range(1001)]},
        {"params": [{"key": f"p{n}", "value": ""} for n in range(101)]},
        {"tags": [{"key": f"p{n}", "value": ""} for n in range(101)]},
        {"metrics": [point("m", 1, step=n) for n in range(950)], "params": [{"key": f"p{n}", "value": ""} for n in range(60)]},
        {"params": [pair, pair, pair]}, {"metrics": [point("m", 1), {"key": "m", "timestamp": 1}]},
        {"metrics": [{"value": 1, "timestamp": 1}]}, {"metrics": [{"key": "m", "value": 1}]}, {"params": [{"value": "1"}]},
        {"tags": [{"value": "1"}]}, {"metrics": [point("m", 1), point("a%b", 1)]}, {"metrics": [point("m", 1, -1)]},
        {"params": [{"key": "a%b", "value": "1"}]}, {"tags": [{"key": "a%b", "value": "1"}]}, {"metrics": "abc"},
        {"params": [{"key": "lr", "value": "2"}, {"key": "q", "value": "ä\n\"'"}], "metrics": [point("undone", 1)]},
        {"run_id": "../x"}, {"run_id": "abcdef"}, {"run_id": ""},
    ]
    reads = [
        "get-history?run_id=none&metric_key=a", "get-history?metric_key=a", f"get-history?run_id={run}",
        f"get-history?run_id={run}&metric_key=a&max_results=0", f"get-history?run_id={run}&metric_key=a&page_token=x",
        "get-history-bulk-interval?metric_key=a", "get-history-bulk-interval?run_ids=a",
        "get-history-bulk-interval?run_ids=a&metric_key=a&start_step=1",
        "get-history-bulk-interval?run_ids=a&metric_key=a&start_step=2&end_step=1",
        "get-history-bulk-interval?run_ids=a&metric_key=a&max_results=0",
        "get-history-bulk-interval?run_ids=a&metric_key=a&max_results=2501",
        "get-history-bulk-interval?metric_key=a" + "&run_ids=a" * 101,
    ]
    answers = [server.post("runs/log-metric", **{**good, **wrong}) for wrong in singles]
    answers += [server.post("runs/log-batch", **{"run_id": run, **wrong}) for wrong in batches]
    answers += [server.get(f"metrics/{path}") for path in reads]
    answers.append(server.get(f"metrics/get-history?run_id={run}&metric_key=undone"))
    server.post("runs/delete", run_id=run)
    answers.append(server.post("runs/log-metric", **good))
    return json.loads(json.dumps(answers).replace(run, "RUN"))


CASES = [history_repeats_nothing, latest_is_by_step_time_and_value, pages_and_samples, what_is_refused]


def compare(cases, urls):
    """Runs each case on each server; tells where answers differ."""
    servers, different = [Server(url) for url in urls], 0
    for case in cases:
        first, *others = [json.dumps(case(server), indent=1, sort_keys=True).splitlines() for server in servers]
        for url, other in zip(urls[1:], others):
            lines = [f"  {a}\n  {b}" for a, b in zip(first, other) if a != b][:8]
            if lines or len(first) != len(other):
                different += 1
                print(f"{case.__name__}: {urls[0]} and {url} differ", *lines, sep="\n")
    print(f"{len(cases)} cases, {different} differ")
    return different


def server():
    return Server(os.environ["MLFLOW_TRACKING_URI"])


def test_history():
    answers, metrics = history_repeats_nothing(server())
    values = [metric["value"] for metric in answers[-4][1]["metrics"]]
    largest = sys.float_info.max
    assert values[:1] == [3] and sorted(map(str, values[1:])) == sorted(map(str, [-largest, 0.0, "NaN", 1e-320, 1.5, 2.5, largest]))
    assert metrics[0] == {"key": "a", "value": 3.0, "timestamp": 2, "step": 9}


def test_latest():
    assert latest_is_by_step_time_and_value(server()) == [point("l", 4.0, 5, 3)]


def test_samples():
    answers = pages_and_samples(server())
    assert [len(answer["metrics"]) for _, answer in answers[:5]] == [30, 30, 30, 10, 100]
    assert [point["step"] for point in answers[6][1]["metrics"]] == [0, 49]


def test_refusals():
    statuses = [status for status, _ in what_is_refused(server())]
    assert set(statuses[:13]) == {400, 404} and statuses[-1] == 400 and statuses[-2] == 200


if __name__ == "__main__":
    sys.exit(compare(CASES, sys.argv[1:]))

"""Searches of runs and experiments, in requests that say the same to every server of this dialect.

`python search.py URL [URL ...]` compares servers; under pytest the server is MLFLOW_TRACKING_URI.
"""

import sys

from metrics import compare, server

FILTERS = """
metrics.x > 1|metrics.x >= 1|metrics.x != 1|metrics.x = 1|metrics.n = 0|metrics.n != 0|metrics.n < 5|metrics.x > 1e400
params.lr = '0.1'|params.lr != '0.1'|params.lr LIKE '0.%'|params.lr IS NULL|params.lr IS NOT NULL|params.lr ILIKE '0._'
tags.k = 'val'|tags.k LIKE 'v%'|tags.k ILIKE 'v%'|tags.k IS NULL|tags.k != 'val'|tags.`k` LIKE '_al'|tags.k LIKE '[v]%'
status = 'FINISHED'|status != 'FINISHED'|status LIKE 'FIN%'|status ILIKE 'fin%'|status = 'finished'|status IN ('FINISHED')
start_time > 1|start_time > 1.5|start_time = 2|end_time > 1|end_time != 1|run_name = 'a'|run_name != 'a'|run_name ILIKE 'A'
run_id = 'RUN'|run_id IN ('RUN', 'x')|run_id NOT IN ('RUN')|run_id != 'RUN'|artifact_uri LIKE 'mlflow%'|created > 2
metrics.x > 0 and params.lr = '0.1'|metrics.x > 0 or metrics.x < 1|datasets.name = 'd'|dataset.context != 'd'
tags.mlflow.runName = 'a'|metrics.`x` > 1.5|tags.k > 'a'|start_time IS NULL|params.lr = 0.1|attr.run_name = "b"
"""
ORDERS = [
    ["metrics.x"], ["metrics.x DESC"], ["metrics.n ASC"], ["metrics.n DESC"], ["params.lr"], ["params.lr DESC"], ["tags.k"],
    ["tags.k desc"], ["start_time"], ["end_time"], ["end_time DESC"], ["status"], ["run_name DESC"], ["foo bar baz"],
    ["metrics.nope"], ["metrics.n", "start_time ASC"], ["params.lr", "metrics.x DESC"], ["datasets.name"], ["user_id"],
    ["metrics.x", "tags.k DESC", "run_name"],
]


def runs(of):
    """Runs that differ in what searches look at; the first one's id."""
    first = of.run("a", 1, metrics={"x": 1, "n": "NaN"}, params={"lr": "0.1"}, tags={"k": "Val"})
    second = of.run("b", 2, metrics={"x": 2, "n": 1}, params={"lr": "0.2"}, tags={"k": "val"})
    of.run("c", 3, metrics={"x": "NaN", "n": 0})
    of.run("d", 4)
    deleted = of.run("z", 6, metrics={"x": 9})
    of.post("runs/delete", run_id=deleted)
    of.post("runs/update", run_id=second, status="FINISHED", end_time=100)
    return first


def found(answer, what, name):
    status, body = answer
    if status != 200:
        # The reference prints sets in an order of its own, and refuses some with other codes.
        return status == 400 or body.get("error_code"), body.get("message", "").split("{")[0]
    return [name(item) for item in body.get(what, [])], body.get("next_page_token")


def search_runs(of, **search):
    answer = of.post("runs/search", **{"experiment_ids": [of.experiment], **search})
    return found(answer, "runs", lambda run: run["info"]["run_name"])


def filters(of):
    run = runs(of)
    texts = [text for line in FILTERS.split("\n") for text in line.split("|") if text]
    return [(text, search_runs(of, filter=text.replace("RUN", run))) for text in texts]


def orders_and_pages(of):
    runs(of)
    answers = []
    for order in ORDERS:
        answers.append((order, search_runs(of, order_by=order)))
        for size in (1, 3):
            names, token = [], ""
            while token is not None:
                page = search_runs(of, order_by=order, max_results=size, page_token=token)
                if not isinstance(page[0], list):
                    break
                names, token = names + page[0], page[1]
            answers.append(names)
    for view in ("ALL", "DELETED_ONLY", "ACTIVE_ONLY", 1, 2, 3, "foo"):
        answers.append(search_runs(of, run_view_type=view))
    for limit in (0, -1, 50_000, 50_001, "x", "2", 1):
        answers.append(search_runs(of, max_results=limit))
    for ids in ([], ["abc"], ["999999"], [of.experiment, of.experiment], [""]):
        answers.append(search_runs(of, experiment_ids=ids))
    answers += [search_runs(of, page_token=token) for token in ("zzz", "e30=", "eyJvZmZzZXQiOiA5OX0=")]
    return answers


def experiments(of):
    prefix = f"e{of.experiment}-{of.run()[:8]}-"
    ids = [of.post("experiments/create", name=prefix + name)[1]["experiment_id"] for name in "abC"]
    of.post("experiments/set-experiment-tag", experiment_id=ids[0], key="t", value="V")
    of.post("experiments/delete", experiment_id=ids[2])
    mine = f"name LIKE '{prefix}%'"
    bodies = [{"filter": f"{mine} AND {text}".replace("ID", ids[0])} for text in (
        "name != 'x'", "tags.t = 'V'", "tags.t IS NULL", "tags.t IS NOT NULL", "tags.t ILIKE 'v'", "experiment_id = 'ID'",
        "experiment_id IN ('ID', '0')", "experiment_id != 'ID'", "experiment_id > '1'", "creation_time > 1", "name > 'a'",
        "creation_time > 1.5", "last_update_time < 1", "name like 'x'", "name ILIKE 'X%'")]
    bodies += [{"filter": mine, "order_by": [order]} for order in (
        "name", "name DESC", "experiment_id", "experiment_id DESC", "creation_time", "tags.t")]
    bodies += [{"filter": mine, "view_type": view} for view in ("ALL", "DELETED_ONLY", "ACTIVE_ONLY", 3, "foo")]
    bodies += [{"filter": mine, "max_results": limit} for limit in (0, 1, 50_001, "x")]
    bodies += [{"filter": mine, "page_token": "zz"}]
    short = lambda experiment: experiment["name"].removeprefix(prefix)
    return [found(of.post("experiments/search", **{"max_results": 100, **body}), "experiments", short) for body in bodies]


CASES = [filters, orders_and_pages, experiments]


def test_filters():
    answers = dict(filters(server()))
    assert answers["metrics.x != 1"][0] == ["c", "b"] and answers["tags.k ILIKE 'v%'"][0] == ["b", "a"]
    assert answers["metrics.x > 0 or metrics.x < 1"] == (True, "Invalid clause(s) in filter string: 'or'")


def test_orders():
    answers = orders_and_pages(server())
    assert answers[0][1][0] == ["a", "b", "c", "d"] == answers[1] == answers[2]
    assert answers[3][1][0] == ["b", "a", "c", "d"]


def test_experiments():
    assert experiments(server())[0] == (["b", "a"], None)


if __name__ == "__main__":
    sys.exit(compare(CASES, sys.argv[1:]))

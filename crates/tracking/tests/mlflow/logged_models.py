"""Logged models, inputs, outputs and GraphQL, through MLflow's own client.

Each test holds for a real `mlflow server` too. MLFLOW_TRACKING_URI says whom to ask.
Run: pytest crates/tracking/tests/mlflow/logged_models.py
"""

import os
import uuid

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
)
from mlflow.exceptions import MlflowException

URL = os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture
def client():
    return MlflowClient(URL)


@pytest.fixture
def experiment(client):
    return client.create_experiment(f"logged-{uuid.uuid4().hex}")


@pytest.fixture
def run(client, experiment):
    return client.create_run(experiment).info.run_id


def test_a_model_lives_and_dies(client, experiment, run):
    model = client.create_logged_model(
        experiment, name="one", source_run_id=run, model_type="agent", params={"b": "1", "a": "2"}, tags={"t": "x"}
    )
    assert model.model_id.startswith("m-") and len(model.model_id) == 34
    assert model.artifact_location.endswith(f"/models/{model.model_id}/artifacts")
    assert (model.status, model.params, model.tags) == (LoggedModelStatus.PENDING, {"a": "2", "b": "1"}, {"t": "x"})
    ready = client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    assert ready.status == LoggedModelStatus.READY and ready.last_updated_timestamp >= model.creation_timestamp
    client.set_logged_model_tags(model.model_id, {"t": "y", "u": "z"})
    client.delete_logged_model_tag(model.model_id, "u")
    client.log_model_params(model.model_id, {"c": "3"})
    found = client.get_logged_model(model.model_id)
    assert (found.tags, found.params["c"], found.source_run_id) == ({"t": "y"}, "3", run)
    with pytest.raises(MlflowException, match=f"No tag with key 'u' found for model with ID '{model.model_id}'."):
        client.delete_logged_model_tag(model.model_id, "u")
    client.delete_logged_model(model.model_id)
    with pytest.raises(MlflowException, match=f"Logged model with ID '{model.model_id}' not found."):
        client.get_logged_model(model.model_id)


def test_bad_names_are_refused(client, experiment):
    for name in ("a/b", "a:b", "a.b", "a%b", "a'b", 'a"b'):
        with pytest.raises(MlflowException, match="Invalid model name"):
            client.create_logged_model(experiment, name=name)


def test_models_are_searched(client, experiment, run):
    ids = {}
    for place in range(4):
        model = client.create_logged_model(experiment, name=f"Model{place}", params={"p": str(place)})
        ids[model.model_id] = place
        client.log_metric(run, "acc", [0.9, 0.7, 0.8, 0.1][place], timestamp=1, model_id=model.model_id)

    def search(**query):
        return [ids[model.model_id] for model in client.search_logged_models([experiment], **query)]

    assert sorted(search()) == [0, 1, 2, 3]
    assert sorted(search(filter_string="metrics.acc > 0.75")) == [0, 2]
    assert search(filter_string="params.p = '1' AND name LIKE 'Model%'") == [1]
    assert search(filter_string="name LIKE 'model%'") == []
    assert search(order_by=[{"field_name": "metrics.acc", "ascending": False}]) == [0, 2, 1, 3]
    assert search(order_by=[{"field_name": "name", "ascending": True}]) == [0, 1, 2, 3]
    order = [{"field_name": "name"}]
    first = client.search_logged_models([experiment], max_results=3, order_by=order)
    last = client.search_logged_models([experiment], max_results=3, order_by=order, page_token=first.token)
    assert [ids[model.model_id] for model in [*first, *last]] == [0, 1, 2, 3] and not last.token
    with pytest.raises(MlflowException, match="Order by in the page token does not match"):
        client.search_logged_models([experiment], max_results=3, page_token=first.token)
    for wrong in ("name = 'a' OR name = 'b'", "x.y = 1", "metrics.acc LIKE 'x'"):
        with pytest.raises(MlflowException, match="Invalid"):
            client.search_logged_models([experiment], filter_string=wrong)
    point = client.search_logged_models([experiment], filter_string="name = 'Model3'")[0].metrics[0]
    assert (point.key, point.value, point.run_id) == ("acc", 0.1, run)


def test_runs_tell_what_they_read_and_made(client, experiment, run):
    dataset = Dataset("iris", "1", "local", "s", schema="columns", profile="rows")
    tags = [InputTag("mlflow.data.context", "train")]
    client.log_inputs(run, [DatasetInput(dataset, tags)], [LoggedModelInput("m-1")])
    client.log_inputs(run, [DatasetInput(dataset, [])], [LoggedModelInput("m-1")])
    client.log_outputs(run, [LoggedModelOutput("m-2", 3)])
    found = client.get_run(run)
    [read] = found.inputs.dataset_inputs
    assert dict(read.dataset) == dict(dataset)
    assert [(tag.key, tag.value) for tag in read.tags] == [("mlflow.data.context", "train")]
    assert [model.model_id for model in found.inputs.model_inputs] == ["m-1"]
    assert [(model.model_id, model.step) for model in found.outputs.model_outputs] == [("m-2", 3)]
    url = f"{URL}/ajax-api/2.0/mlflow/experiments/search-datasets"
    summary = {"experiment_id": experiment, "name": "iris", "digest": "1", "context": "train"}
    assert requests.post(url, json={"experiment_ids": [experiment]}).json() == {"dataset_summaries": [summary]}


def test_graphql_gives_what_is_selected(client, experiment, run):
    client.log_metric(run, "loss", 0.5, timestamp=7, step=2)
    client.log_metric(run, "nan", float("nan"), timestamp=7)
    query = """query Q($d: MlflowGetRunInput!) { mlflowGetRun(input: $d) { __typename apiError { code } run {
        info { runId endTime status } experiment { experimentId } modelVersions { name }
        data { metrics { key value step } } outputs { modelOutputs { modelId } } } } }"""
    body = {"query": query, "variables": {"d": {"runId": run}}}
    answer = requests.post(f"{URL}/graphql", json=body).json()
    assert answer["errors"] is None
    assert answer["data"]["mlflowGetRun"] == {
        "__typename": "MlflowGetRunResponse",
        "apiError": None,
        "run": {
            "info": {"runId": run, "endTime": "0", "status": "RUNNING"},
            "experiment": {"experimentId": experiment},
            "modelVersions": [],
            "data": {
                "metrics": [
                    {"key": "loss", "value": 0.5, "step": "2"},
                    {"key": "nan", "value": None, "step": "0"},
                ]
            },
            "outputs": {"modelOutputs": []},
        },
    }
    wrong = requests.post(f"{URL}/graphql", json={"query": '{ mlflowGetRun(input: {runId: "x"}) { run { info { runId } } } }'})
    assert wrong.json() == {"data": {"mlflowGetRun": None}, "errors": ["Run with id=x not found"]}
    many = " ".join(f't{n}: test(inputString: "x") {{ output }}' for n in range(11))
    refused = requests.post(f"{URL}/graphql", json={"query": f"{{ {many} }}"}).json()
    assert "GraphQL queries should have at most 10 root fields" in refused["errors"][0]

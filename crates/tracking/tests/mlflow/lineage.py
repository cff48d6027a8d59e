"""Lineage as clients leave it: MLflow's own, and OpenLineage's. Needs a server of ours: MLflow's has no lineage."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid
from datetime import datetime, timezone

import mlflow
import pandas
import pytest
from mlflow import MlflowClient
from openlineage.client import OpenLineageClient, event_v2, facet_v2
from openlineage.client.generated import (
    base,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_job,
    job_type_job,
    nominal_time_run,
    parent_run,
    processing_engine_run,
    schema_dataset,
    source_code_location_job,
    tags_run,
)
from openlineage.client.transport.http import HttpConfig, HttpTransport

URL = os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5080")
OURS = os.environ.get("MCPLANE_URL") is not None

pytestmark = pytest.mark.skipif(not OURS, reason="MLflow's server has no lineage")

PRODUCER = "https://example.com/etl"
FACETS = {
    "run": {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
        "nominalTime": nominal_time_run.NominalTimeRunFacet,
        "parent": parent_run.ParentRunFacet,
        "tags": tags_run.TagsRunFacet,
    },
    "job": {
        "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet,
        "documentation": documentation_job.DocumentationJobFacet,
        "jobType": job_type_job.JobTypeJobFacet,
    },
    "dataset": {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet,
        "dataSource": datasource_dataset.DatasourceDatasetFacet,
        "schema": schema_dataset.SchemaDatasetFacet,
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet,
    },
}


def get(path, **query):
    text = urllib.parse.urlencode(query)
    with urllib.request.urlopen(f"{URL}/lineage/v1/namespaces/default/{path}?{text}") as answer:
        return json.load(answer)


def graph(node, direction):
    return get("graph", node=node, direction=direction)


def ids(found):
    return {node["id"] for node in found["nodes"]}


def facets(found, node):
    return next(each["facets"] for each in found["nodes"] if each["id"] == node)


def openlineage():
    return OpenLineageClient(transport=HttpTransport(HttpConfig(url=URL)))


@pytest.fixture
def name():
    return f"lineage-{uuid.uuid4().hex[:8]}"


def train(name, source):
    """A run that reads a dataset, and makes and registers a model: its id, the dataset's digest, the model's id."""
    from mlflow.pyfunc import PythonModel

    class Constant(PythonModel):
        def predict(self, context, model_input: list[str]) -> list[str]:
            return model_input

    mlflow.set_tracking_uri(URL)
    mlflow.set_experiment(name)
    frame = pandas.DataFrame({"a": [1.0, 2.0], "y": [0, 1]})
    with mlflow.start_run(tags={"mlflow.source.git.commit": "0123abc", "mlflow.note.content": "why"}) as run:
        data = mlflow.data.from_pandas(frame, source=source, name=f"{name}-data", targets="y")
        mlflow.log_input(data, context="training")
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("loss", 0.1)
        model = mlflow.pyfunc.log_model(name="model", python_model=Constant(), registered_model_name=name)
    return run.info.run_id, child.info.run_id, data.digest, model.model_id


def test_a_version_leads_back_to_data_and_commit_and_forward_again(name):
    place = f"s3://{name}/train.csv"
    run, _, digest, model = train(name, place)
    version = f"modelversion:{name}/1"
    up = graph(version, "upstream")
    dataset = f"dataset:{name}-data@{digest}"
    assert [node["id"] for node in up["nodes"]] == [version, f"model:{model}", f"run:{run}", dataset]
    assert facets(up, f"run:{run}")["commit"] == "0123abc"
    assert facets(up, f"run:{run}")["source"].endswith(".py")
    assert facets(up, f"run:{run}")["user"]
    assert facets(up, dataset)["digest"] == digest
    read = next(edge for edge in up["edges"] if edge["kind"] == "input")
    assert read == {"from": dataset, "to": f"run:{run}", "kind": "input", "context": "training"}
    assert version in ids(graph(dataset, "downstream"))

    MlflowClient(URL).copy_model_version(f"models:/{name}/1", f"{name}-copy")
    assert dataset in ids(graph(f"modelversion:{name}-copy/1", "upstream"))
    assert f"modelversion:{name}-copy/1" in ids(graph(f"run:{run}", "downstream"))


def test_what_other_systems_report_joins_it(name):
    run, _, digest, _ = train(name, f"s3://{name}/train.csv")
    etl = str(uuid.uuid4())
    location = facet_v2.source_code_location_job.SourceCodeLocationJobFacet(type="git", url="https://x/etl", version="fed")
    job = event_v2.Job("airflow", f"{name}.etl", facets={"sourceCodeLocation": location})
    client = openlineage()
    for state in [event_v2.RunState.START, event_v2.RunState.COMPLETE]:
        outputs = [event_v2.OutputDataset(f"s3://{name}", "train.csv")] if state == event_v2.RunState.COMPLETE else []
        event = event_v2.RunEvent(
            eventType=state,
            eventTime=datetime.now(timezone.utc).isoformat(),
            run=event_v2.Run(etl),
            job=job,
            producer=PRODUCER,
            inputs=[event_v2.InputDataset("postgres://db:5432", f"{name}.orders")],
            outputs=outputs,
        )
        client.emit(event)
        client.emit(event)
    up = graph(f"modelversion:{name}/1", "upstream")
    etl = f"run:{uuid.UUID(etl).hex}"
    assert {etl, f"run:{run}", f"dataset:postgres://db:5432/{name}.orders", f"job:airflow/{name}.etl"} <= ids(up)
    assert facets(up, etl)["state"] == "COMPLETE"
    assert facets(up, f"job:airflow/{name}.etl")["openlineage"]["sourceCodeLocation"]["version"] == "fed"
    down = graph(f"dataset:postgres://db:5432/{name}.orders", "downstream")
    assert {f"dataset:{name}-data@{digest}", f"modelversion:{name}/1"} <= ids(down)


def test_jobs_and_datasets_are_reported_alone(name):
    now = datetime.now().isoformat()
    client = openlineage()
    fields = [schema_dataset.SchemaDatasetFacetFields(name="a", type="int")]
    dataset = event_v2.StaticDataset("file", f"/{name}", facets={"schema": schema_dataset.SchemaDatasetFacet(fields)})
    client.emit(event_v2.DatasetEvent(eventTime=now, producer=PRODUCER, dataset=dataset))
    output = event_v2.OutputDataset("file", f"/{name}")
    job = event_v2.Job("dbt", name)
    client.emit(event_v2.JobEvent(eventTime=now, producer=PRODUCER, job=job, outputs=[output]))
    up = graph(f"dataset:file:///{name}", "upstream")
    assert ids(up) == {f"dataset:file:///{name}", f"job:dbt/{name}"}
    assert facets(up, f"dataset:file:///{name}")["openlineage"]["schema"]["fields"][0]["name"] == "a"


def known(kind, found):
    """The facets as objects of the official client, which check their fields."""
    made = {}
    for name, facet in (found or {}).items():
        cls = FACETS[kind][name]
        values = {key: value for key, value in facet.items() if not key.startswith("_")}
        if name == "tags":
            values["tags"] = [tags_run.TagsRunFacetFields(**tag) for tag in facet["tags"]]
        if name == "schema":
            values["fields"] = [schema_dataset.SchemaDatasetFacetFields(**field) for field in facet["fields"]]
        if name == "parent":
            values = {"run": parent_run.Run(**facet["run"]), "job": parent_run.Job(**facet["job"])}
        made[name] = cls(**values, producer=facet["_producer"])
        ours, theirs = facet["_schemaURL"].split("#"), made[name]._schemaURL.split("#")
        assert ours[1] == theirs[1] and ours[0].rsplit("/")[-1] == theirs[0].rsplit("/")[-1], name
        assert ours[0].startswith("https://openlineage.io/spec/facets/")
    return made


def test_events_of_runs_are_those_of_the_official_client(name):
    run, child, digest, model = train(name, f"s3://{name}/train.csv")
    events = get("openlineage", run=run)["events"]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    nested = get("openlineage", run=child)["events"][0]
    assert nested["run"]["facets"]["parent"]["run"]["runId"] == str(uuid.UUID(run))
    for event in [*events, nested]:
        data = {
            side: [cls(each["namespace"], each["name"], facets=known("dataset", each["facets"])) for each in event[side]]
            for side, cls in [("inputs", event_v2.InputDataset), ("outputs", event_v2.OutputDataset)]
        }
        made = event_v2.RunEvent(
            eventType=event_v2.RunState[event["eventType"]],
            eventTime=event["eventTime"],
            producer=event["producer"],
            run=event_v2.Run(event["run"]["runId"], facets=known("run", event["run"]["facets"])),
            job=event_v2.Job(event["job"]["namespace"], event["job"]["name"], facets=known("job", event["job"]["facets"])),
            **data,
        )
        assert isinstance(made, base.RunEvent) and made.schemaURL == event["schemaURL"]
        openlineage().emit(made)
    end = events[1]
    assert (end["inputs"][0]["namespace"], end["inputs"][0]["name"]) == (f"s3://{name}", "train.csv")
    assert end["inputs"][0]["facets"]["version"]["datasetVersion"] == digest
    assert end["outputs"][0]["name"] == f"model:{model}"
    assert end["job"]["facets"]["sourceCodeLocation"]["version"] == "0123abc"
    assert end["job"]["facets"]["documentation"]["description"] == "why"
    # What we told came back, and is about the same things.
    made = [edge for edge in graph(f"model:{model}", "upstream")["edges"] if edge["kind"] == "output"]
    assert made == [{"from": f"run:{run}", "to": f"model:{model}", "kind": "output"}]


def test_what_is_no_event_is_refused():
    request = urllib.request.Request(f"{URL}/api/v1/lineage", b'{"run": {}}', {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert "OpenLineage" in json.load(refused.value)["message"]

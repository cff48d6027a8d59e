"""Workspaces, through MLflow's own client. They need a server that has them; MLFLOW_TRACKING_URI says whom to ask.

Run: pytest crates/tracking/tests/mlflow/workspaces.py
"""

import os
import time
import uuid

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities.workspace import WorkspaceDeletionMode
from mlflow.exceptions import MlflowException

URL = os.environ["MLFLOW_TRACKING_URI"]
# A workspace that holds something is refused with 500, as the protocol has it, which the client would ask for again.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"


@pytest.fixture
def client():
    mlflow.set_tracking_uri(URL)
    return MlflowClient(URL)


@pytest.fixture
def name(client):
    name = f"w-{uuid.uuid4().hex[:12]}"
    yield name
    mlflow.set_workspace(None)


def test_workspaces_are_managed(client, name):
    made = client.create_workspace(name=name, description="a team")
    assert (made.name, made.description) == (name, "a team")
    assert client.get_workspace(name) == made
    assert {"default", name} <= {workspace.name for workspace in client.list_workspaces()}
    assert client.update_workspace(name=name, description="b").description == "b"
    with pytest.raises(MlflowException, match="already exists") as refused:
        client.create_workspace(name=name)
    assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"
    with pytest.raises(MlflowException, match="reserved"):
        client.delete_workspace("default")
    client.delete_workspace(name)
    with pytest.raises(MlflowException, match=f"Workspace '{name}' not found"):
        client.get_workspace(name)


def test_what_is_logged_stays_in_its_workspace(client, name, tmp_path):
    client.create_workspace(name=name)
    mlflow.set_workspace(name)
    experiment = client.create_experiment("only here")
    run = client.create_run(experiment)
    client.log_metric(run.info.run_id, "m", 1.0)
    file = tmp_path / "a.txt"
    file.write_text("text")
    client.log_artifact(run.info.run_id, str(file))
    assert [found.path for found in client.list_artifacts(run.info.run_id)] == ["a.txt"]
    with pytest.raises(MlflowException, match="still contains|too many 500 error responses"):
        client.delete_workspace(name)

    mlflow.set_workspace("default")
    assert client.get_experiment_by_name("only here") is None
    with pytest.raises(MlflowException, match="not found"):
        client.get_run(run.info.run_id)
    client.delete_workspace(name, mode=WorkspaceDeletionMode.CASCADE)
    for _ in range(100):
        try:
            client.create_workspace(name=name)
            break
        except MlflowException:
            time.sleep(0.1)
    mlflow.set_workspace(name)
    assert client.get_experiment_by_name("only here") is None

"""Judges of traces, as MLflow's client registers them.

    MLFLOW_TRACKING_URI=http://127.0.0.1:8080 pytest scorers.py

Run against this server and against `mlflow server`: both must pass.
"""

import json
import os
import uuid

import mlflow
import pytest
from mlflow.exceptions import MlflowException

URI = os.environ["MLFLOW_TRACKING_URI"]
JUDGE = json.dumps({"name": "polite", "instructions_judge_pydantic_data": {"instructions": "x", "model": "openai:/gpt-4"}})


@pytest.fixture
def store():
    mlflow.set_tracking_uri(URI)
    return mlflow.MlflowClient()._tracking_client.store


def test_scorers_have_versions(store):
    experiment = store.create_experiment(f"scorers-{uuid.uuid4().hex[:8]}")
    assert store.register_scorer(experiment, "polite", JUDGE).scorer_version == 1
    assert store.register_scorer(experiment, "polite", JUDGE).scorer_version == 2
    [latest] = store.list_scorers(experiment)
    assert (latest.scorer_name, latest.scorer_version, latest.experiment_id) == ("polite", 2, experiment)
    assert [version.scorer_version for version in store.list_scorer_versions(experiment, "polite")] == [1, 2]
    assert store.get_scorer(experiment, "polite", version=1)._serialized_scorer == JUDGE
    store.delete_scorer(experiment, "polite", version=1)
    with pytest.raises(MlflowException, match="Scorer with name 'polite' and version 1 not found"):
        store.get_scorer(experiment, "polite", version=1)
    store.delete_scorer(experiment, "polite")
    assert store.list_scorers(experiment) == []


def test_scorers_are_no_code(store):
    with pytest.raises(MlflowException, match="Custom scorer registration"):
        store.register_scorer("0", "code", json.dumps({"call_source": "return 1"}))

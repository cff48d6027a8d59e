"""Evaluation datasets through MLflow's own client.

    MLFLOW_TRACKING_URI=http://127.0.0.1:8080 pytest evaluation_datasets.py
"""

import os
import uuid

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.genai import datasets

URI = os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture
def experiments():
    mlflow.set_tracking_uri(URI)
    return [mlflow.create_experiment(f"datasets-{uuid.uuid4().hex[:8]}") for _ in range(2)]


def test_records(experiments):
    dataset = datasets.create_dataset(name=f"d-{experiments[0]}", experiment_id=experiments[0], tags={"team": "blue"})
    examples = [
        {"inputs": {"q": "a", "n": 1}, "expectations": {"r": "x"}, "tags": {"k": "v"}},
        {"inputs": {"q": "b"}, "outputs": "plain"},
    ]
    dataset.merge_records(examples)
    dataset.merge_records([{"inputs": {"n": 1, "q": "a"}, "expectations": {"z": 2.5}}])
    found = datasets.get_dataset(dataset_id=dataset.dataset_id)
    by_question = {record["inputs"]["q"]: record for record in found.to_df().to_dict("records")}
    assert by_question.keys() == {"a", "b"}
    assert by_question["a"]["expectations"] == {"r": "x", "z": 2.5}
    assert by_question["a"]["tags"]["k"] == "v"
    assert by_question["b"]["outputs"] == "plain"
    assert found.experiment_ids == [experiments[0]]
    assert found.tags["team"] == "blue"
    datasets.delete_dataset(dataset_id=dataset.dataset_id)
    with pytest.raises(MlflowException, match="not found"):
        datasets.get_dataset(dataset_id=dataset.dataset_id)


def test_search_tags_and_experiments(experiments):
    names = [f"{name}-{experiments[0]}" for name in ("one", "two")]
    made = [datasets.create_dataset(name=name, experiment_id=experiments[0]) for name in names]

    def search(**kwargs):
        found = datasets.search_datasets(experiment_ids=[experiments[0]], order_by=["name ASC"], **kwargs)
        return [dataset.name for dataset in found]

    assert search() == names
    assert search(filter_string="name LIKE 'one%'") == names[:1]
    datasets.set_dataset_tags(dataset_id=made[1].dataset_id, tags={"a": "b"})
    assert search(filter_string="tags.a = 'b'") == names[1:]
    datasets.delete_dataset_tag(dataset_id=made[1].dataset_id, key="a")
    assert search(filter_string="tags.a = 'b'") == []
    datasets.add_dataset_to_experiments(dataset_id=made[0].dataset_id, experiment_ids=[experiments[1]])
    assert datasets.get_dataset(dataset_id=made[0].dataset_id).experiment_ids == sorted(experiments, key=int)
    datasets.remove_dataset_from_experiments(dataset_id=made[0].dataset_id, experiment_ids=[experiments[0]])
    assert search() == names[1:]

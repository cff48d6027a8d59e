"""What teams do with MLflow: their scripts, with nothing changed but the address of the server."""

import os
import uuid

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


@pytest.fixture(autouse=True)
def experiment():
    """An experiment of the test's own."""
    name = f"exp-{uuid.uuid4().hex}"
    mlflow.set_experiment(name)
    yield name
    mlflow.autolog(disable=True)
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture()
def name():
    return f"model-{uuid.uuid4().hex}"


def data():
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True, as_frame=True)


def test_sklearn_autolog():
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog()
    x, y = data()
    with mlflow.start_run() as run:
        LogisticRegression(max_iter=200, C=0.5).fit(x, y)
    run = mlflow.get_run(run.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["C"] == "0.5"
    assert run.data.metrics["training_accuracy_score"] > 0.9
    assert run.data.tags["estimator_name"] == "LogisticRegression"
    assert run.inputs.dataset_inputs[0].dataset.digest
    model_id = run.outputs.model_outputs[0].model_id
    model = mlflow.get_logged_model(model_id)
    assert model.status == "READY"
    loaded = mlflow.sklearn.load_model(f"models:/{model_id}")
    assert (loaded.predict(x) == y).mean() > 0.9


def test_search_over_parameters_makes_child_runs():
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    mlflow.sklearn.autolog(max_tuning_runs=3)
    x, y = data()
    with mlflow.start_run() as parent:
        GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2, 3]}, cv=2).fit(x, y)
    children = mlflow.search_runs(
        filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["metrics.mean_test_score DESC"]
    )
    assert len(children) == 3
    scores = list(children["metrics.mean_test_score"])
    assert scores == sorted(scores, reverse=True)
    assert set(children["params.max_depth"]) == {"1", "2", "3"}


def test_xgboost_autolog():
    import xgboost

    mlflow.xgboost.autolog()
    x, y = data()
    with mlflow.start_run() as run:
        train = xgboost.DMatrix(x, label=y)
        params = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2}
        xgboost.train(params, train, num_boost_round=7, evals=[(train, "train")], verbose_eval=False)
    client = MlflowClient()
    history = client.get_metric_history(run.info.run_id, "train-mlogloss")
    assert [point.step for point in history] == list(range(7))
    assert history[-1].value < history[0].value
    assert mlflow.get_run(run.info.run_id).data.metrics["train-mlogloss"] == history[-1].value


def test_lightgbm_autolog():
    import lightgbm

    mlflow.lightgbm.autolog()
    x, y = data()
    with mlflow.start_run() as run:
        train = lightgbm.Dataset(x, label=y)
        params = {"objective": "multiclass", "num_class": 3, "num_leaves": 4, "verbose": -1}
        lightgbm.train(params, train, num_boost_round=5, valid_sets=[train], valid_names=["train"])
    run = mlflow.get_run(run.info.run_id)
    assert run.data.params["num_leaves"] == "4"
    assert run.data.metrics["train-multi_logloss"] > 0
    files = {file.path for file in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)}
    assert {"feature_importance_gain.png", "feature_importance_split.json"} <= files


def test_nested_runs_and_everything_that_is_logged(tmp_path):
    with mlflow.start_run(run_name="outer", tags={"team": "a"}) as outer:
        mlflow.log_params({"a": 1, "b": "x"})
        mlflow.log_metrics({"m": 1.5, "nan": float("nan"), "inf": float("inf")}, step=3)
        with mlflow.start_run(nested=True) as inner:
            for step in range(20):
                mlflow.log_metric("loss", 1 / (step + 1), step=step)
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "ü b.txt").write_text("text")
        mlflow.log_artifacts(str(tmp_path), artifact_path="files")
        mlflow.log_dict({"k": [1, 2]}, "d.json")
        mlflow.log_text("t", "deep/er/t.txt")
        mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "i.png")
    run = mlflow.get_run(outer.info.run_id)
    assert (run.info.run_name, run.data.tags["team"]) == ("outer", "a")
    assert run.data.metrics["m"] == 1.5 and np.isnan(run.data.metrics["nan"])
    assert mlflow.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == outer.info.run_id
    got = mlflow.artifacts.download_artifacts(run_id=outer.info.run_id, artifact_path="files")
    with open(os.path.join(got, "folder", "ü b.txt")) as file:
        assert file.read() == "text"
    assert mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/d.json") == {"k": [1, 2]}


def test_a_model_from_logging_to_serving(name):
    from sklearn.linear_model import LinearRegression

    x, y = data()
    client = MlflowClient()
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(LinearRegression().fit(x, y), name="model", input_example=x[:2])
    first = mlflow.register_model(info.model_uri, name)
    assert (first.version, first.run_id) == ("1", run.info.run_id) or first.version in ("1", 1)
    with mlflow.start_run():
        mlflow.sklearn.log_model(LinearRegression().fit(x[:50], y[:50]), name="model", registered_model_name=name)
    assert {str(v.version) for v in client.search_model_versions(f"name = '{name}'")} == {"1", "2"}

    client.set_registered_model_alias(name, "champion", "1")
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert len(loaded.predict(x)) == len(x)
    assert loaded.metadata.signature is not None
    client.set_model_version_tag(name, "1", "checked", "yes")
    client.update_model_version(name, "1", description="the first")
    version = client.get_model_version(name, "1")
    assert (version.tags["checked"], version.description) == ("yes", "the first")
    client.transition_model_version_stage(name, "2", "Production")
    assert [str(v.version) for v in client.get_latest_versions(name, ["Production"])] == ["2"]
    client.delete_registered_model_alias(name, "champion")
    with pytest.raises(MlflowException):
        client.get_model_version_by_alias(name, "champion")
    client.delete_model_version(name, "2")
    client.delete_registered_model(name)
    with pytest.raises(MlflowException) as gone:
        client.get_registered_model(name)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_searches(experiment):
    client = MlflowClient()
    experiment_id = client.get_experiment_by_name(experiment).experiment_id
    for n in range(12):
        run = client.create_run(experiment_id, start_time=n + 1, run_name=f"run-{n}")
        client.log_param(run.info.run_id, "kind", "even" if n % 2 == 0 else "odd")
        client.log_metric(run.info.run_id, "score", n / 10)
    found = client.search_runs([experiment_id], "params.kind = 'even' AND metrics.score > 0.3", order_by=["metrics.score"])
    assert [run.info.run_name for run in found] == ["run-4", "run-6", "run-8", "run-10"]
    assert [run.info.run_name for run in client.search_runs([experiment_id], "attributes.run_name LIKE 'run-1%'")] == [
        "run-11", "run-10", "run-1",
    ]
    names, token = [], None
    while True:
        page = client.search_runs([experiment_id], max_results=5, page_token=token)
        names += [run.info.run_name for run in page]
        token = page.token
        if not token:
            break
    assert names == [f"run-{n}" for n in reversed(range(12))]
    with pytest.raises(MlflowException, match="Invalid"):
        client.search_runs([experiment_id], "params.kind = 'even' OR metrics.score > 1")
    client.delete_run(found[0].info.run_id)
    assert len(client.search_runs([experiment_id])) == 11
    assert experiment in {e.name for e in client.search_experiments(filter_string=f"name = '{experiment}'")}


def test_traces():
    @mlflow.trace(name="inner", attributes={"k": "v"})
    def inner(x):
        return x + 1

    @mlflow.trace
    def outer(x):
        return inner(x) * 2

    assert outer(1) == 4
    trace_id = mlflow.get_last_active_trace_id()
    trace = mlflow.get_trace(trace_id)
    assert [span.name for span in trace.data.spans] == ["outer", "inner"]
    assert trace.info.state.value == "OK"
    mlflow.set_trace_tag(trace_id, "team", "a")
    mlflow.log_feedback(trace_id=trace_id, name="good", value=True)
    found = mlflow.search_traces(filter_string="tags.team = 'a'", return_type="list")
    assert [trace.info.trace_id for trace in found] == [trace_id]
    assert found[0].info.assessments[0].name == "good"


def test_evaluation_logs_metrics_and_artifacts():
    from sklearn.linear_model import LogisticRegression

    x, y = data()
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(LogisticRegression(max_iter=200).fit(x, y), name="model")
        dataset = mlflow.data.from_pandas(x.assign(target=y), targets="target", name="iris")
        mlflow.log_input(dataset, context="evaluation")
        mlflow.log_metric("held_out", 0.5, model_id=info.model_id, dataset=dataset)
    assert "iris" in {entry.dataset.name for entry in mlflow.get_run(run.info.run_id).inputs.dataset_inputs}
    model = mlflow.get_logged_model(info.model_id)
    assert ("held_out", 0.5, "iris") in {(metric.key, metric.value, metric.dataset_name) for metric in model.metrics}
    found = mlflow.search_logged_models(filter_string="metrics.held_out > 0.4", output_format="list")
    assert [m.model_id for m in found] == [info.model_id]


def test_prompts(name):
    mlflow.genai.register_prompt(name=name, template="Say {{thing}}.", commit_message="first")
    mlflow.genai.register_prompt(name=name, template="Say {{thing}}, please.")
    prompt = mlflow.genai.load_prompt(f"prompts:/{name}/2")
    assert prompt.format(thing="hello") == "Say hello, please."
    mlflow.genai.set_prompt_alias(name, alias="production", version=1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@production").template == "Say {{thing}}."
    assert name not in {model.name for model in mlflow.search_registered_models()}


def test_errors_keep_their_kind(experiment):
    client = MlflowClient()
    with pytest.raises(MlflowException) as taken:
        client.create_experiment(experiment)
    assert taken.value.error_code == "RESOURCE_ALREADY_EXISTS"
    with pytest.raises(MlflowException) as missing:
        client.get_run("0" * 32)
    assert missing.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with mlflow.start_run():
        mlflow.log_param("p", 1)
        with pytest.raises(MlflowException, match="Changing param values is not allowed"):
            mlflow.log_param("p", 2)

"""The model registry, by the real client and by requests that say the same to every server of this dialect.

`python models.py URL [URL ...]` compares servers; under pytest the server is MLFLOW_TRACKING_URI.
"""

import json
import os
import sys
import tempfile
import uuid

from metrics import compare, server

TIMES = ("creation_timestamp", "last_updated_timestamp")


def plain(answer, names):
    """An answer without times and with the names of this try replaced."""
    if isinstance(answer, dict):
        return {key: plain(value, names) for key, value in answer.items() if key not in TIMES}
    if isinstance(answer, (list, tuple)):
        return [plain(value, names) for value in answer]
    if isinstance(answer, str):
        for name, shown in names.items():
            answer = answer.replace(name, shown)
    return answer


def models_and_versions(of):
    name, run = f"m-{uuid.uuid4().hex}", of.run()
    post, get = of.post, of.get

    def send(method, path, **body):
        return of.send(method, f"/api/2.0/mlflow/{path}", body)

    answers = [
        post("registered-models/create", name=name, tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]),
        post("registered-models/create", name=name),
        post("registered-models/create", name=name, tags=[{"key": "mlflow.prompt.is_prompt", "value": "True"}]),
        post("registered-models/create", name="a/b"),
        send("PATCH", "registered-models/update", name=name, description="d"),
        post("registered-models/set-tag", name=name, key="..", value="v"),
        get(f"registered-models/get?name={name}"),
    ]
    sources = [
        "s3://b/x", "s3://b/../x", "s3://b/%2e%2e/x", "/etc/passwd", "file:///etc", "mlflow-artifacts:/x", "http://h/x", "hdfs:/x",
        "models:/nothing/1", f"models:/{name}/1", f"models:/{name}/latest", "models:/m-1", f"runs:/{run}/x", "c:/x", "x:y", "%2fetc",
    ]
    for source in sources:
        answers.append(post("model-versions/create", name=name, source=source))
    for source in (f"runs:/{run}/x", f"runs:/{run}/../x", "runs:/other/x", "s3://b/y"):
        answers.append(post("model-versions/create", name=name, source=source, run_id=run))
    for alias, version in (("best", "1"), ("best", "2"), ("latest", "1"), ("v1", "1"), ("a b", "1"), ("x", "99")):
        answers.append(post("registered-models/alias", name=name, alias=alias, version=version))
    for alias in ("best", "LATEST", "none", "a b"):
        answers.append(get(f"registered-models/alias?name={name}&alias={alias.replace(' ', '%20')}"))
    for version, stage, archive in (("1", "production", False), ("2", "Production", True), ("1", "foo", True), ("99", "None", False)):
        body = {"name": name, "version": version, "stage": stage, "archive_existing_versions": archive}
        answers.append(post("model-versions/transition-stage", **body))
    answers += [
        post("registered-models/get-latest-versions", name=name, stages=["none", "production"]),
        get(f"model-versions/get?name={name}&version=x"),
        get(f"model-versions/get-download-uri?name={name}&version=2"),
        get(f"model-versions/search?filter=name%3D'{name}'&order_by=version_number&max_results=2"),
        get(f"registered-models/search?filter=name%3D'{name}'"),
        send("DELETE", "model-versions/delete", name=name, version="2"),
        send("DELETE", "model-versions/delete", name=name, version="2"),
        post("model-versions/create", name=name, source="s3://b/z"),
        post("registered-models/rename", name=name, new_name=f"{name}-new"),
        get(f"registered-models/get?name={name}-new"),
        send("DELETE", "registered-models/delete", name=f"{name}-new"),
        send("DELETE", "registered-models/delete", name=f"{name}-new"),
    ]
    return plain(answers, {name: "NAME", run: "RUN"})


CASES = [models_and_versions]


def test_a_registry_has_its_whole_life():
    answers = models_and_versions(server())
    assert [status for status, _ in answers[:7]] == [200, 400, 400, 400, 200, 400, 200]
    assert answers[6][1]["registered_model"]["tags"] == [{"key": "a", "value": "2"}]
    assert [status for status, _ in answers[-3:]] == [200, 200, 404]


def test_the_client_registers_and_finds():
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    name = f"client {uuid.uuid4().hex}"
    run = client.create_run("0")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump([1, 2], file)
        client.log_artifact(run.info.run_id, path, "model")
    client.create_registered_model(name, tags={"team": "risk"}, description="d")
    version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id, tags={"k": "v"})
    assert (version.version, version.current_stage, version.status) == ("1", "None", "READY")
    client.set_registered_model_alias(name, "champion", "1")
    assert client.get_model_version_by_alias(name, "champion").run_id == run.info.run_id
    client.transition_model_version_stage(name, "1", "Production")
    assert [v.version for v in client.get_latest_versions(name, ["Production"])] == ["1"]
    assert [v.tags for v in client.search_model_versions(f"name = '{name}'")] == [{"k": "v"}]
    assert [m.aliases for m in client.search_registered_models("tags.team = 'risk'") if m.name == name] == [{"champion": "1"}]
    client.delete_model_version(name, "1")
    client.delete_registered_model(name)
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        assert error.error_code == "RESOURCE_DOES_NOT_EXIST"
    else:
        raise AssertionError("a deleted model was found")


if __name__ == "__main__":
    sys.exit(compare(CASES, sys.argv[1:]))

"""Files through the server, wherever it keeps them: they come, are listed and go."""

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


@pytest.fixture
def run():
    client = MlflowClient()
    return client.create_run(client.create_experiment(f"files-{mlflow.utils.time.get_current_time_millis()}"))


def names(client, run, path=None):
    return [file.path for file in client.list_artifacts(run.info.run_id, path)]


def test_folders_come_back_as_they_were(run, tmp_path):
    client = MlflowClient()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    contents = {"a b.txt": b"one", "deep/ü.bin": bytes(range(256)), "deep/er/empty": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    client.log_artifacts(run.info.run_id, str(tmp_path), "folder")
    assert names(client, run) == ["folder"]
    assert names(client, run, "folder") == ["folder/a b.txt", "folder/deep"]
    assert names(client, run, "folder/deep") == ["folder/deep/er", "folder/deep/ü.bin"]
    back = client.download_artifacts(run.info.run_id, "folder", str(tmp_path))
    for name, content in contents.items():
        with open(f"{back}/{name}", "rb") as file:
            assert file.read() == content, name


def test_a_large_file_goes_in_parts(run, tmp_path):
    client = MlflowClient()
    large = tmp_path / "large.bin"
    large.write_bytes(b"0123456789abcdef" * (20 << 16))
    client.log_artifact(run.info.run_id, str(large))
    assert [file.file_size for file in client.list_artifacts(run.info.run_id)] == [20 << 20]
    back = client.download_artifacts(run.info.run_id, "large.bin", str(tmp_path / "."))
    with open(back, "rb") as file:
        assert file.read() == large.read_bytes()


def test_files_are_replaced_and_deleted(run):
    client = MlflowClient()
    client.log_text(run.info.run_id, "first", "note.txt")
    client.log_text(run.info.run_id, "second", "note.txt")
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt") == "second"
    path = run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    url = f"{mlflow.get_tracking_uri()}/api/2.0/mlflow-artifacts/artifacts/{path}/note.txt"
    assert requests.get(url, headers={"Range": "bytes=1-3"}, timeout=60).content == b"eco"
    requests.delete(url, timeout=60).raise_for_status()
    assert names(client, run) == []
    assert requests.get(url, timeout=60).status_code == 404
    with pytest.raises(MlflowException):
        mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt")

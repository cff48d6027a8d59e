"""What the client of tasks sends, and what it makes of answers."""

import io
import json
import tarfile
from datetime import timedelta

import pytest
from fake import FakeServer

import mcplane
from mcplane import Concurrency, Retries, TaskClient


@pytest.fixture()
def server(monkeypatch, tmp_path):
    fake = FakeServer()
    monkeypatch.setenv("MCPLANE_URL", fake.url)
    for name in ("MCPLANE_TOKEN", "MCPLANE_NAMESPACE", "MCPLANE_TASK_ID", "MCPLANE_ATTEMPT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield fake
    fake.close()


def sent(server):
    return [json.loads(body) for _, _, _, body in server.asked("POST", "/tasks")]


def golden(client):
    return client.create_training_task(
        name="xgboost-v3",
        image="mcp-registry/conda:py39-ml",
        command=["python", "train.py"],
        resources={"cpu": "4", "memory": "16Gi"},
    )


def test_a_project_is_made_and_the_folder_goes_along(server, tmp_path, capfd):
    (tmp_path / "work" / "train.py").write_text("print(1)")
    server.lag = 3
    handle = golden(TaskClient(project="fraud-detection")).submit(queue="training-prod")
    assert "fraud-detection" in server.namespaces and len(server.asked("POST", "/api/v1/namespaces")) == 1
    (task,) = [body for body in sent(server)[-1:]]
    code = task.pop("code")
    assert task == {
        "name": "xgboost-v3",
        "queue": "training-prod",
        "image": "mcp-registry/conda:py39-ml",
        "command": ["python", "train.py"],
        "resources": {"cpu": "4", "memory": "16Gi"},
    }
    with tarfile.open(fileobj=io.BytesIO(server.codes[code]), mode="r:gz") as tar:
        assert tar.getnames() == ["train.py"]
    assert (handle.name, handle.last.phase) == ("xgboost-v3", "Pending")
    told = capfd.readouterr().err
    assert "namespace fraud-detection was created" in told and f"as {handle.id}" in told and "code: 1 file of" in told


def test_code_that_the_server_has_is_not_sent_again(server, tmp_path, capfd):
    (tmp_path / "work" / "train.py").write_text("print(1)")
    task = golden(TaskClient())
    first, second = task.submit(), task.submit()
    assert first.id != second.id and len(server.asked("PUT", "/code")) == 1
    assert [body["code"] for body in sent(server)] == list(server.codes) * 2
    assert "which the server had" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("command", "code", "files", "told"),
    [
        (["python", "train.py"], None, ["train.py"], ""),
        (["python", "-m", "pkg.train"], None, None, ""),
        ("python 'train.py'", None, ["train.py"], ""),
        (["python", "missing.py"], None, None, "missing.py is not in"),
        (["true"], None, None, ""),
        (["true"], True, ["train.py"], ""),
        (["python", "train.py"], False, None, ""),
        (["python", "/abs/train.py"], None, None, ""),
    ],
)
def test_the_folder_travels_when_the_command_names_something_in_it(server, tmp_path, capfd, command, code, files, told):
    (tmp_path / "work" / "train.py").write_text("")
    TaskClient().create_training_task("t", command=command, code=code).submit()
    assert len(server.codes) == (files is not None)
    for data in server.codes.values():
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            assert tar.getnames() == files
    err = capfd.readouterr().err
    assert told in err
    assert isinstance(sent(server)[0]["command"], list)


def test_a_folder_can_be_named(server, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").write_text("")
    TaskClient(quiet=True).create_training_task("t", command=["true"], code=tmp_path / "other").submit()
    assert len(server.codes) == 1


def test_what_is_ignored_though_named_is_told(server, tmp_path, capfd):
    (tmp_path / "work" / "train.py").write_text("")
    (tmp_path / "work" / ".mcplaneignore").write_text("*.py\n")
    golden(TaskClient()).submit()
    assert "train.py does not travel" in capfd.readouterr().err


def test_the_home_folder_does_not_travel_unasked(server, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path / "work"))
    (tmp_path / "work" / "train.py").write_text("")
    golden(TaskClient()).submit()
    assert not server.codes and "does not travel unasked" in capfd.readouterr().err


def test_quiet_is_quiet(server, capfd):
    golden(TaskClient(project="new", quiet=True)).submit()
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_everything_that_can_be_said_is_sent(server):
    TaskClient(quiet=True).create_training_task(
        "t",
        command=["a"],
        args=["b", 1],
        env={"N": 1},
        resources={"gpu": 1},
        working_dir="sub",
        service_account="trainer",
        labels={"team": "x"},
        priority=3,
        delay=timedelta(minutes=1),
        retries=Retries(5, initial=1, factor=3.0, longest=timedelta(minutes=5)),
        timeout=1.5,
        grace=10,
        idempotency_key="i",
        unique_key="u",
        concurrency=Concurrency("k", 2),
    ).submit()
    assert sent(server)[0] == {
        "name": "t",
        "command": ["a"],
        "args": ["b", "1"],
        "env": {"N": "1"},
        "resources": {"gpu": "1"},
        "workingDir": "sub",
        "serviceAccount": "trainer",
        "labels": {"team": "x"},
        "priority": 3,
        "delayMs": 60_000,
        "retries": {"maxAttempts": 5, "initialMs": 1000, "factor": 3.0, "maxMs": 300_000},
        "timeoutMs": 1500,
        "graceMs": 10_000,
        "idempotencyKey": "i",
        "uniqueKey": "u",
        "concurrency": {"key": "k", "limit": 2},
    }
    TaskClient(quiet=True).create_training_task("t", command=["a"], retries=2).submit()
    assert sent(server)[1]["retries"]["maxAttempts"] == 3


def test_who_may_not_make_a_namespace_is_told_whom_to_ask(server):
    server.may_create = False
    with pytest.raises(mcplane.ApiError, match="ask for the namespace fraud") as refused:
        golden(TaskClient(project="fraud", quiet=True)).submit()
    assert refused.value.status == 403
    with pytest.raises(mcplane.ApiError, match="not found"):
        TaskClient(project="fraud").tasks()
    assert len(server.asked("POST", "/api/v1/namespaces")) == 1, "looking makes nothing"


def test_a_namespace_that_never_comes_is_an_error(server, monkeypatch):
    server.lag = 1 << 30
    monkeypatch.setattr("mcplane.tasks._NOTICED_S", 0.1)
    with pytest.raises(mcplane.ApiError) as refused:
        golden(TaskClient(project="fraud", quiet=True)).submit()
    assert refused.value.details["kind"] == "namespaces"


def test_why_a_task_waits_is_seen(server):
    handle = golden(TaskClient(quiet=True)).submit()
    server.tasks[handle.id].update(reason="InsufficientCpu", message="it asks for 4 cpu, and 2 are there")
    status = handle.status()
    assert (status.phase, status.reason, status.finished) == ("Pending", "InsufficientCpu", False)
    assert str(status) == "Pending, InsufficientCpu: it asks for 4 cpu, and 2 are there"
    assert "InsufficientCpu" in repr(handle)


def test_waiting_ends_with_the_task_or_the_time(server):
    client = TaskClient(quiet=True)
    handle = golden(client).submit()
    with pytest.raises(mcplane.TaskTimeout, match="has not finished after 0.1 s"):
        handle.wait(timeout=0.1)
    with pytest.raises(TimeoutError):
        handle.wait(timeout=0)
    server.tasks[handle.id].update(state="failed", exitCode=3, reason="Error", attempt=1)
    status = handle.wait()
    assert (status.exit_code, status.succeeded, status.phase) == (3, False, "Failed")
    with pytest.raises(mcplane.TaskFailed, match="Failed, Error"):
        handle.wait(check=True)
    assert handle.retry().state == "ready"
    assert handle.cancel().cancelled_by == "admin"
    server.tasks[handle.id]["state"] = "succeeded"
    with pytest.raises(mcplane.ApiError, match="is succeeded"):
        handle.retry()
    assert handle.wait(check=True).succeeded


def test_lists_are_read_page_by_page(server):
    client = TaskClient(quiet=True)
    task = client.create_training_task("t", command=["true"])
    made = [task.submit().id for _ in range(5)]
    assert [handle.id for handle in client.tasks()] == made[::-1]
    assert [handle.id for handle in client.tasks(limit=3)] == made[:1:-1]
    server.tasks[made[0]]["state"] = "failed"
    assert [handle.id for handle in client.tasks(state=["failed", "cancelled"])] == made[:1]
    assert client.task(made[0]).last.state == "failed"
    with pytest.raises(mcplane.ApiError):
        client.task("none")


def test_logs_are_a_text_or_lines(server):
    handle = golden(TaskClient(quiet=True)).submit()
    server.tasks[handle.id].update(attempt=1, state="succeeded")
    server.logs[handle.id, 1] = ["one\ntw", "o\nthree"]
    assert handle.logs() == "one\ntwo\nthree"
    assert list(handle.logs(follow=True)) == ["one", "two", "three"]
    handle.logs(tail=3, since=60, timestamps=True, limit_bytes=10, attempt=1)
    assert server.asked("GET", "/logs")[-1][2] == {
        "tailLines": "3",
        "sinceSeconds": "60",
        "timestamps": "true",
        "limitBytes": "10",
        "attempt": "1",
    }


def test_following_outlives_connections_and_attempts(server):
    handle = golden(TaskClient(quiet=True)).submit()
    task = server.tasks[handle.id]
    task.update(attempt=1, state="running")

    def second():
        task.update(attempt=2, state="running")

    def done():
        task.update(state="succeeded")

    server.logs[handle.id, 1] = ["a\nb\npart", None, "ial\nc\n", second]
    server.logs[handle.id, 2] = ["d\n", done]
    assert list(handle.logs(follow=True)) == ["a", "b", "partial", "c", "d"]
    assert list(handle.logs(follow=True, attempt=1)) == ["a", "b", "partial", "c"]


def test_progress_is_told_from_within(server, monkeypatch, capfd):
    handle = golden(TaskClient(quiet=True)).submit()
    assert mcplane.report_progress(1, 10) is False, "outside of a task nothing happens"
    assert not server.asked("PUT", "/progress")
    server.tasks[handle.id].update(attempt=2, state="running")
    monkeypatch.setenv("MCPLANE_TASK_ID", handle.id)
    monkeypatch.setenv("MCPLANE_ATTEMPT", "2")
    monkeypatch.setattr("mcplane.attempt._reporter", mcplane.attempt._Reporter())
    assert mcplane.report_progress(1, 10, "warm") is True
    assert mcplane.report_progress(2, 10) is False, "twice a second is enough"
    assert handle.progress == {"value": 1, "total": 10, "message": "warm"}
    assert mcplane.report_progress(10, 10) is True, "the end is always told"
    monkeypatch.setenv("MCPLANE_ATTEMPT", "1")
    assert mcplane.report_progress(10, 10) is False, "an attempt that was given up harms nobody"
    monkeypatch.setenv("MCPLANE_URL", "http://127.0.0.1:9")
    assert mcplane.report_progress(10, 10) is False
    assert capfd.readouterr().err.count("progress was not reported") == 1

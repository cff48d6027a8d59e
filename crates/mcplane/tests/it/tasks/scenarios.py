"""The Python package against a server that runs tasks."""

import pathlib
import sys
import textwrap

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from sdk import PATHS, run_golden  # noqa: E402

import mcplane  # noqa: E402
from mcplane import TaskClient  # noqa: E402


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture()
def client():
    return TaskClient(quiet=True)


def script(folder, text):
    (folder / "train.py").write_text(textwrap.dedent(text))
    return ["python", "train.py"]


def test_the_missions_script_runs_as_it_is(folder):
    script(folder, "import helper; print('trained', helper.NAME)")
    (folder / "helper.py").write_text("NAME = 'xgboost'")
    done = run_golden(folder)
    assert done.returncode == 0, done.stderr
    assert "2 files of" in done.stderr
    (handle,) = TaskClient(project="fraud-detection").tasks(queue="training-prod")
    assert handle.wait(timeout=30, check=True).exit_code == 0
    assert handle.logs() == "trained xgboost\n"


def test_lines_come_while_it_runs(folder, client):
    command = script(
        folder,
        """
        import os, time
        print("one")
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.05)
        print("two")
        """,
    )
    go = folder / "go"
    lines = client.create_training_task("live", command=command, env={"GO": str(go)}).submit().logs(follow=True)
    assert next(lines) == "one"
    go.write_text("")
    assert list(lines) == ["two"]


def test_a_failure_has_its_exit_code(folder, client):
    handle = client.create_training_task("bad", command=["sh", "-c", "echo oh >&2; exit 7"]).submit()
    status = handle.wait(timeout=30)
    assert (status.state, status.exit_code) == ("failed", 7)
    assert handle.logs() == "oh\n"
    with pytest.raises(mcplane.TaskFailed):
        handle.wait(check=True)


def test_retries_go_on_to_the_next_attempt(folder, client):
    marker = folder / "marker"
    command = ["sh", "-c", f'echo "attempt $MCPLANE_ATTEMPT"; test -e {marker} || {{ touch {marker}; exit 1; }}']
    plan = mcplane.Retries(3, initial=0.1)
    handle = client.create_training_task("again", command=command, retries=plan).submit()
    assert list(handle.logs(follow=True, attempt=1)) == ["attempt 1"]
    assert handle.wait(timeout=30, check=True).attempt == 2
    assert handle.logs() == "attempt 2\n" and handle.logs(attempt=1) == "attempt 1\n"


def test_a_cancelled_task_can_be_retried(folder, client):
    marker = folder / "marker"
    command = ["sh", "-c", f"test -e {marker} || {{ touch {marker}; exec sleep 600; }}"]
    handle = client.create_training_task("stop", command=command, grace=5).submit()
    while not marker.exists():
        assert not handle.status().finished
    handle.cancel()
    assert handle.wait(timeout=30).state == "cancelled"
    handle.retry()
    assert handle.wait(timeout=30, check=True).succeeded


def test_progress_is_told_by_the_program(folder, client):
    command = script(folder, "import mcplane; assert mcplane.report_progress(3, 3, 'done')")
    env = {"PYTHONPATH": PATHS[0]}
    handle = client.create_training_task("steps", command=command, env=env).submit()
    handle.wait(timeout=30, check=True)
    assert handle.progress == {"value": 3, "total": 3, "message": "done"}


def test_a_key_makes_one_task(client):
    task = client.create_training_task("once", command=["true"], idempotency_key="the-one")
    first, second = task.submit(), task.submit()
    assert first.id == second.id
    assert first.wait(timeout=30).succeeded and task.submit().id == first.id


def test_what_it_is_told_of_itself(folder, client):
    command = ["sh", "-c", "echo $MCPLANE_NAMESPACE $MCPLANE_TASK_ID $MCPLANE_ATTEMPT $MLFLOW_TRACKING_URI; env | sort"]
    handle = client.create_training_task("env", command=command, env={"MINE": "1"}).submit()
    handle.wait(timeout=30, check=True)
    first, *rest = handle.logs().splitlines()
    assert first.split()[:3] == ["default", handle.id, "1"] and "MINE=1" in rest
    assert not [line for line in rest if line.startswith("PYTEST")]


def test_a_task_without_a_command_says_what_is_missing(client):
    status = client.create_training_task("empty", image="nobody/knows:1").submit().wait(timeout=30)
    assert status.state == "failed" and "nobody/knows:1" in status.message


def test_a_name_that_can_be_no_namespace_is_refused():
    with pytest.raises(mcplane.ApiError):
        TaskClient(project="Not A Name", quiet=True).create_training_task("x", command=["true"]).submit()

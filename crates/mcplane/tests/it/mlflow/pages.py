"""MLflow's own pages: a browser without a screen opens them, and what was logged must be on them."""

import os
import subprocess
import time
import urllib.parse

import mlflow
import pytest

URL = os.environ["MLFLOW_TRACKING_URI"]
CHROMIUM = [
    os.environ["CHROMIUM"],
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--window-size=1600,1200",
    "--virtual-time-budget=20000",
    "--dump-dom",
]
# A page that is slow on a busy machine is asked for again, so long.
PATIENCE = 300


def shows(path, words, tmp_path):
    """Opens a page until all words are on it."""
    address = f"{URL}/#{path}{'&' if '?' in path else '?'}workspace=default"
    deadline = time.monotonic() + PATIENCE
    attempt = 0
    while True:
        attempt += 1
        profile = tmp_path / f"profile-{attempt}"
        try:
            done = subprocess.run(
                [*CHROMIUM, f"--user-data-dir={profile}", address], capture_output=True, text=True, timeout=120, check=False
            )
            dom, said = done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            dom, said = "", str(late)
        missing = [word for word in words if word not in dom]
        if not missing:
            return
        assert time.monotonic() < deadline, f"{address} lacks {missing} after {attempt} attempts\n{dom[-4000:]}\n{said[-2000:]}"


@pytest.fixture(scope="module")
def logged():
    experiment = mlflow.set_experiment("seen-in-pages").experiment_id
    with mlflow.start_run(run_name="seen-run") as run:
        mlflow.log_param("seen-param", "deep-blue")
        for step in range(3):
            mlflow.log_metric("seen_accuracy", 0.5 + step / 8, step=step)
    client = mlflow.MlflowClient()
    client.create_registered_model("seen-model", description="a model to look at")
    client.create_model_version("seen-model", f"runs:/{run.info.run_id}/model", run.info.run_id)
    return experiment, run.info.run_id


def test_runs_of_an_experiment(logged, tmp_path):
    experiment, _ = logged
    shows(f"/experiments/{experiment}/runs", ["seen-in-pages", "seen-run"], tmp_path)


def test_a_run_with_its_metrics(logged, tmp_path):
    experiment, run = logged
    shows(f"/experiments/{experiment}/runs/{run}", ["seen-run", "seen_accuracy", "0.75", "seen-param", "deep-blue"], tmp_path)


def test_registered_models(logged, tmp_path):
    shows("/models", ["seen-model"], tmp_path)
    shows(f"/models/{urllib.parse.quote('seen-model')}", ["seen-model", "a model to look at", "Version 1"], tmp_path)

"""What the pages keep of a prompt that was tried on a model."""

import json

import mlflow
import requests
from mlflow import MlflowClient

ROUTE = "/ajax-api/2.0/mlflow/runs/create-promptlab-run"


def send(body):
    return requests.post(mlflow.get_tracking_uri() + ROUTE, json=body, timeout=60)


def test_a_trial_is_a_run_with_a_model():
    client = MlflowClient()
    required = {
        "experiment_id": client.create_experiment(f"promptlab-{mlflow.utils.time.get_current_time_millis()}"),
        "prompt_template": "Answer: {{ question }}",
        "prompt_parameters": [{"key": "question", "value": "why?"}],
        "model_route": "my-route",
        "model_input": "Answer: why?",
        "mlflow_version": "3.17.2",
    }
    body = {}
    for name, value in required.items():
        refused = send(body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["message"] == f"CreatePromptlabRun request must specify {name}."
        body[name] = value
    body |= {
        "model_parameters": [{"key": "temperature", "value": 0.1}],
        "model_output": "because",
        "model_output_parameters": [{"key": "latency", "value": "100"}],
        "run_name": "trial",
        "user_id": "ann",
        "start_time": 456,
    }
    made = send(body)
    assert made.status_code == 200, made.text
    run = client.get_run(made.json()["run"]["info"]["run_id"])
    assert (run.info.status, run.info.run_name, run.info.start_time) == ("FINISHED", "trial", 456)
    assert run.data.params == {
        "temperature": "0.1",
        "model_route": "my-route",
        "prompt_template": "Answer: {{ question }}",
    }
    assert run.data.tags["mlflow.runSourceType"] == "PROMPT_ENGINEERING"
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "eval_results_table.json", "type": "table"}]
    table = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/eval_results_table.json")
    assert table == {
        "columns": ["question", "prompt", "output", "latency"],
        "data": [["why?", "Answer: why?", "because", "100"]],
    }
    # Its flavor's own loader takes it; to ask it anything needs a gateway.
    model = mlflow.pyfunc.load_model(f"{run.info.artifact_uri}/model")
    assert model.metadata.signature.inputs.input_names() == ["question"]

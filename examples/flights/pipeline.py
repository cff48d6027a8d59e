"""Late flights: raw data, contract, features, training, gate; compiled by `python pipeline.py`."""

import pathlib
import sys

from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

HERE = pathlib.Path(__file__).parent
PACKAGES = ["mlflow-skinny==3.17.2", "numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.32.0", "pandas==3.1.1",
            # skl2onnx gives attributes as NumPy's numbers, which protobuf takes no more since 7.
            "protobuf==6.33.6", "pyarrow==25.0.1", "scikit-learn==1.9.1", "skl2onnx==1.20.0"]


@dsl.container_component
def check_contract(data: Input[Dataset], contract: str):
    """Ends the pipeline if the data is not what the contract says."""
    return dsl.ContainerSpec(image="mcplane", command=["mcplane", "contract", "check", data.path, "--contract", contract])


@dsl.container_component
def make_features(flights: Input[Dataset], weather: Input[Dataset], features: Output[Dataset]):
    """Flights as they left, each with the weather that was known by then."""
    script = """
# Views read what is in the folder where they are materialised.
mkdir -p "$2" raw
ln -sf "$0" raw/flights.csv
ln -sf "$1" raw/weather.csv
cd raw
mcplane features materialize departures --output "$2"
mcplane features materialize weather --output "$2"
mcplane features join --events "$2/departures.parquet" --timestamp time_hour --view "$2/weather.parquet" \\
    --output "$2/training.parquet"
"""
    return dsl.ContainerSpec(image="mcplane", command=["sh", "-euc", script, flights.path, weather.path, features.path])


@dsl.component(base_image="python:3.11", packages_to_install=PACKAGES)
def train(features: Input[Dataset], model_name: str, held_out_from: str, iterations: int, seed: int,
          commit: str, metrics: Output[Metrics], model: Output[Model], held_out: Output[Dataset]) -> str:
    """Fits a classifier to what happened before a time, and lets it and the serving model judge what came after."""
    import json
    import os
    import urllib.request

    import mlflow
    import onnxruntime
    import pandas
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    columns = ["dep_delay", "distance", "hour", "minute", "weekday", "airport", "temp", "wind_speed", "precip",
               "pressure", "visib"]
    table = pandas.read_parquet(features.path + "/training.parquet")
    times = pandas.to_datetime(table["time_hour"], utc=True)
    before = times < pandas.Timestamp(held_out_from, tz="UTC")
    x, y = table[columns].astype("float32"), table["late"]

    def score(program):
        session = onnxruntime.InferenceSession(program, providers=["CPUExecutionProvider"])
        labels, probabilities = session.run(None, {"input": x[~before].to_numpy()})
        return labels, probabilities[:, 1]

    mlflow.sklearn.autolog(log_models=False, log_datasets=False)
    # The step's own run, which mcplane began for it.
    with mlflow.start_run():
        if commit:
            # Where MLflow's client notes it when a script runs in a checkout; a step has only its own code.
            mlflow.set_tag("mlflow.source.git.commit", commit)
        classifier = HistGradientBoostingClassifier(max_iter=iterations, learning_rate=0.1, random_state=seed)
        classifier.fit(x[before], y[before])
        program = convert_sklearn(classifier, initial_types=[("input", FloatTensorType([None, len(columns)]))],
                                  options={id(classifier): {"zipmap": False}}, target_opset=18)
        rows = pandas.DataFrame({"late": y[~before].to_numpy()})
        rows["prediction"], rows["score"] = score(program.SerializeToString())
        found = {"accuracy": accuracy_score(rows["late"], rows["prediction"]),
                 "f1": f1_score(rows["late"], rows["prediction"]),
                 "auc": roc_auc_score(rows["late"], rows["score"])}
        # What is logged here is in the run in tracking too.
        for name, value in found.items():
            metrics.log_metric(name, value)

        try:
            MlflowClient().get_model_version_by_alias(model_name, "champion")
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        else:
            champion = mlflow.artifacts.download_artifacts(f"models:/{model_name}@champion")
            rows["champion_prediction"], rows["champion_score"] = score(champion + "/model.onnx")
        rows.to_csv(held_out.path, index=False)

        logged = mlflow.onnx.log_model(program, name="model", pip_requirements=["onnxruntime"])
        # MLflow's own registration notes a place. What serves must be content that the server has read and keeps.
        place = mlflow.get_logged_model(logged.model_id).artifact_location
        version = {"model_path": place, "run_id": logged.run_id, "metrics": found}
        request = urllib.request.Request(
            f"{os.environ['MCPLANE_URL']}/models/v1/namespaces/default/models/{model_name}/versions",
            json.dumps(version).encode(), {"Content-Type": "application/json"})
        if "MCPLANE_TOKEN" in os.environ:
            request.add_header("Authorization", f"Bearer {os.environ['MCPLANE_TOKEN']}")
        with urllib.request.urlopen(request) as answer:
            registered = json.load(answer)
    with open(model.path, "wb") as file:
        file.write(program.SerializeToString())
    return str(registered["number"])


@dsl.container_component
def judge(held_out: Input[Dataset], gate: str, model_name: str, version: str, verdict: dsl.OutputPath(str)):
    """Says `pass` or `refuse`; the decision is kept, with its numbers."""
    script = """
mkdir -p "$(dirname "$4")"
told=$(mcplane gate evaluate "$0" --gate "$1" --model "$2" --version "$3") || true
printf '%s\\n' "$told"
case "$told" in
    *": passed (decision "*) printf pass > "$4" ;;
    *" (decision "*) printf refuse > "$4" ;;
    *) exit 1 ;;
esac
"""
    return dsl.ContainerSpec(
        image="mcplane", command=["sh", "-euc", script, held_out.path, gate, model_name, version, verdict])


@dsl.component(base_image="python:3.11", packages_to_install=PACKAGES)
def promote(model_name: str, version: str):
    """Makes the version the champion."""
    from mlflow import MlflowClient

    MlflowClient().set_registered_model_alias(model_name, "champion", version)


@dsl.container_component
def alert(model_name: str, version: str):
    """Tells why nothing changed."""
    return dsl.ContainerSpec(
        image="mcplane", command=["echo", "model", model_name, "version", version, "was refused; the champion stays"])


@dsl.pipeline(name="late-flights")
def late_flights(flights: str, weather: str, held_out_from: str, model_name: str = "late-flights",
                 iterations: int = 60, seed: int = 2013, commit: str = ""):
    def again(step):
        """A step that was talking to the server when that went away is done once more; what it says is never cached, since
        a file may change under its name, and a gate between two runs."""
        return step.set_retry(num_retries=3, backoff_duration="1s", backoff_factor=2.0).set_caching_options(False)

    raw_flights = dsl.importer(artifact_uri=flights, artifact_class=Dataset, reimport=True)
    raw_weather = dsl.importer(artifact_uri=weather, artifact_class=Dataset, reimport=True)
    flights_checked = again(check_contract(data=raw_flights.output, contract="flights")).set_display_name("check flights")
    weather_checked = again(check_contract(data=raw_weather.output, contract="weather")).set_display_name("check weather")
    features = again(make_features(flights=raw_flights.output, weather=raw_weather.output))
    features.after(flights_checked, weather_checked)
    trained = train(features=features.outputs["features"], model_name=model_name, held_out_from=held_out_from,
                    iterations=iterations, seed=seed, commit=commit)
    # Threads that spin for a turn on a machine that has other work to do would take longer than one.
    again(trained).set_env_variable("OMP_NUM_THREADS", "1")
    decision = again(judge(held_out=trained.outputs["held_out"], gate="late-flights", model_name=model_name,
                           version=trained.outputs["Output"]))
    with dsl.If(decision.outputs["verdict"] == "pass"):
        again(promote(model_name=model_name, version=trained.outputs["Output"]))
    with dsl.Else():
        alert(model_name=model_name, version=trained.outputs["Output"])


if __name__ == "__main__":
    compiler.Compiler().compile(late_flights, sys.argv[1] if len(sys.argv) > 1 else str(HERE / "pipeline.yaml"))

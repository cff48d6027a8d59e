"""Late flights: raw data, contract, features, training, gate; compiled by `python pipeline.py`."""

import pathlib

from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

HERE = pathlib.Path(__file__).parent
PACKAGES = ["mlflow-skinny==3.17.2", "numpy==2.4.6", "onnxruntime==1.32.0", "pandas==3.1.1", "pyarrow==26.0.1",
            "scikit-learn==1.9.1", "skl2onnx==1.20.0"]


@dsl.container_component
def check_contract(data: Input[Dataset], contract: str, report: Output[Dataset]):
    """Ends the pipeline if the data is not what the contract says."""
    return dsl.ContainerSpec(
        image="mcplane",
        command=["mcplane", "contract", "check", data.path, "--contract", contract, "--report", report.path])


@dsl.container_component
def make_features(flights: Input[Dataset], weather: Input[Dataset], departures_view: str, weather_view: str,
                  training: Output[Dataset]):
    """Flights as they left, each with the weather that was known by then."""
    script = """
set -eu
work=$(mktemp -d)
cp "$0" "$work/flights.csv"
cp "$1" "$work/weather.csv"
cd "$work"
printf '%s' "$2" > departures.yaml
printf '%s' "$3" > weather.yaml
mcplane features materialize -f departures.yaml --output departures.parquet
mcplane features materialize -f weather.yaml --output weather.parquet
mcplane features join --events departures.parquet --timestamp time_hour --view weather.parquet --output "$4"
"""
    return dsl.ContainerSpec(
        image="mcplane",
        command=["sh", "-c", script, flights.path, weather.path, departures_view, weather_view, training.path])


@dsl.component(packages_to_install=PACKAGES)
def train(training: Input[Dataset], model_name: str, held_out_from: str, seed: int, metrics: Output[Metrics],
          model: Output[Model], held_out: Output[Dataset]) -> str:
    """Fits a classifier on what happened before a time, and lets it and the serving model judge what came after."""
    import json
    import os
    import ssl
    import urllib.error
    import urllib.request

    import mlflow
    import onnxruntime
    import pandas
    from mlflow import MlflowClient
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    columns = ["dep_delay", "distance", "hour", "minute", "weekday", "airport", "temp", "wind_speed", "precip",
               "pressure", "visib"]
    table = pandas.read_parquet(training.path)
    before = table["time_hour"] < pandas.Timestamp(held_out_from, tz=table["time_hour"].dt.tz)
    x, y = table[columns].astype("float32"), table["late"]

    mlflow.sklearn.autolog(log_models=False, log_datasets=False)
    with mlflow.start_run() as run:
        classifier = HistGradientBoostingClassifier(max_iter=120, learning_rate=0.1, random_state=seed)
        classifier.fit(x[before], y[before])
        program = convert_sklearn(classifier, initial_types=[("input", FloatTensorType([None, len(columns)]))],
                                  options={id(classifier): {"zipmap": False}}, target_opset=18)
        with open(model.path, "wb") as file:
            file.write(program.SerializeToString())
        mlflow.log_artifact(model.path, "model")

        def score(path):
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            labels, probabilities = session.run(None, {"input": x[~before].to_numpy()})
            return labels, probabilities[:, 1]

        rows = pandas.DataFrame({"late": y[~before].to_numpy()})
        rows["prediction"], rows["score"] = score(model.path)
        found = {"accuracy": accuracy_score(rows["late"], rows["prediction"]),
                 "f1": f1_score(rows["late"], rows["prediction"]),
                 "auc": roc_auc_score(rows["late"], rows["score"])}
        for name, value in found.items():
            metrics.log_metric(name, value)
        mlflow.log_metrics(found)

        base = f"{os.environ['MCPLANE_URL']}/models/v1/namespaces/{os.environ['MCPLANE_NAMESPACE']}/models/{model_name}"
        trust = ssl.create_default_context(cafile=os.environ.get("MCPLANE_CA_FILE"))

        def ask(path, body=None):
            request = urllib.request.Request(base + path, None if body is None else json.dumps(body).encode())
            request.add_header("content-type", "application/json")
            if "MCPLANE_TOKEN" in os.environ:
                request.add_header("authorization", "Bearer " + os.environ["MCPLANE_TOKEN"])
            trusting = trust if base.startswith("https:") else None
            return json.load(urllib.request.urlopen(request, context=trusting))

        try:
            champion = ask("/latest-stable")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            champion = None
        if champion is not None:
            client = MlflowClient()
            source = client.download_artifacts(client.get_model_version(model_name, champion["number"]).run_id,
                                               "model/" + os.path.basename(model.path))
            rows["champion_prediction"], rows["champion_score"] = score(source)
        rows.to_csv(held_out.path, index=False)

        version = ask("/versions", {"source": f"runs:/{run.info.run_id}/model/{os.path.basename(model.path)}",
                                    "runId": run.info.run_id, "metrics": found})
    model.metadata["version"] = version["version"]
    return version["version"]


@dsl.container_component
def judge(held_out: Input[Dataset], gate: str, model_name: str, version: str, verdict: dsl.OutputPath(str)):
    """Says `pass` or `refuse`; the decision is kept, with its numbers."""
    script = """
mkdir -p "$(dirname "$4")"
mcplane gate evaluate "$0" --gate "$1" --model "$2" --version "$3"
case $? in
    0) printf pass > "$4" ;;
    1) printf refuse > "$4" ;;
    *) exit 1 ;;
esac
"""
    return dsl.ContainerSpec(image="mcplane", command=["sh", "-c", script, held_out.path, gate, model_name, version, verdict])


@dsl.component(packages_to_install=["mlflow-skinny==3.17.2"])
def deploy(model_name: str, version: str):
    """Makes the version the stable one."""
    from mlflow import MlflowClient

    client = MlflowClient()
    for found in client.search_model_versions(f"name = '{model_name}'"):
        if found.tags.get("mcplane.version", "") == version:
            client.set_registered_model_alias(model_name, "stable", found.version)


@dsl.component
def alert(model_name: str, version: str):
    """Tells why nothing changed."""
    print(f"{model_name} {version} was refused; the stable version stays")


@dsl.pipeline(name="late-flights")
def late_flights(flights: str, weather: str, held_out_from: str, model_name: str = "late-flights", seed: int = 2013):
    raw_flights = dsl.importer(artifact_uri=flights, artifact_class=Dataset, reimport=True)
    raw_weather = dsl.importer(artifact_uri=weather, artifact_class=Dataset, reimport=True)
    flights_checked = check_contract(data=raw_flights.output, contract="flights").set_display_name("check flights")
    weather_checked = check_contract(data=raw_weather.output, contract="weather").set_display_name("check weather")
    features = make_features(flights=raw_flights.output, weather=raw_weather.output,
                             departures_view=(HERE / "view-departures.yaml").read_text(),
                             weather_view=(HERE / "view-weather.yaml").read_text())
    features.after(flights_checked, weather_checked)
    trained = train(training=features.outputs["training"], model_name=model_name, held_out_from=held_out_from, seed=seed)
    decision = judge(held_out=trained.outputs["held_out"], gate="late-flights", model_name=model_name,
                     version=trained.outputs["Output"])
    with dsl.If(decision.outputs["verdict"] == "pass"):
        deploy(model_name=model_name, version=trained.outputs["Output"])
    with dsl.Else():
        alert(model_name=model_name, version=trained.outputs["Output"])


if __name__ == "__main__":
    compiler.Compiler().compile(late_flights, str(HERE / "pipeline.yaml"))

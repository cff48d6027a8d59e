"""Trains a classifier of wines, exports it to ONNX and registers it: `python train.py v1.0.0 --trees 3 --depth 1`."""

import argparse

import mlflow
import onnx
from mcplane import RegistryClient
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from wines import load

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("version")
parser.add_argument("--trees", type=int, default=20)
parser.add_argument("--depth", type=int, default=5)
given = parser.parse_args()

x, y, held_out_x, held_out_y = load()
mlflow.set_experiment("wines")
with mlflow.start_run(run_name=given.version) as run:
    classifier = RandomForestClassifier(given.trees, max_depth=given.depth, random_state=0).fit(x, y)
    accuracy = float(classifier.score(held_out_x, held_out_y))
    mlflow.log_params({"trees": given.trees, "depth": given.depth})
    mlflow.log_metric("accuracy", accuracy)
    # A matrix of probabilities instead of a map for each row.
    program = to_onnx(classifier, x[:1], options={"zipmap": False})
    onnx.save(program, "wines.onnx")
    mlflow.log_artifact("wines.onnx")

# The server reads the file and keeps it: what is served later is this content.
version = RegistryClient().register_model(
    "wines",
    given.version,
    metrics={"accuracy": accuracy},
    model_path=f"runs:/{run.info.run_id}/wines.onnx",
    run_id=run.info.run_id,
)
print(f"wines {version.version}: {version.state}, accuracy {accuracy:.3f}, sha256 {version.digest[:12]}…")

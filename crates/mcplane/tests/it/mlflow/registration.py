"""The mission's registration, unchanged: a model on an S3 server gets a version that never changes."""

import hashlib
import os
import pathlib
import subprocess
import sys

import boto3
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[5]
SCRIPT = ROOT / "crates" / "mcplane" / "tests" / "golden" / "mission" / "register_model.py"
SDK = [ROOT / "sdk" / "python" / "src", ROOT / "sdk" / "python-mcp"]
sys.path[:0] = map(str, SDK)

import mcplane  # noqa: E402

KEY = "fraud_v1.2.0.pkl"


@pytest.fixture(scope="module")
def bucket():
    return boto3.resource("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).Bucket("models")


def register():
    """Runs the script as its author would; the import hook is what the second distribution installs."""
    hook = "import mcplane_mcp; mcplane_mcp.install(); import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SDK))}
    return subprocess.run(
        [sys.executable, "-c", hook, str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_missing_object_is_refused(bucket):
    done = register()
    assert done.returncode != 0
    assert "mcplane.errors.ApiError" in done.stderr, done.stderr
    with pytest.raises(mcplane.ApiError):
        mcplane.RegistryClient().get_version("fraud_detection", "v1.2.0")


def test_content_gets_a_version_once(bucket):
    bucket.put_object(Key=KEY, Body=b"the model")
    for _ in range(2):
        done = register()
        assert done.returncode == 0, done.stderr
    client = mcplane.RegistryClient()
    version = client.get_version("fraud_detection", "v1.2.0")
    assert (version.state, version.number, version.size) == ("Verified", 1, 9)
    assert version.digest == hashlib.sha256(b"the model").hexdigest()
    assert version.metrics == {"accuracy": 0.94, "latency_ms": 12}
    assert version.environment["python"]
    assert [v.version for v in client.list_versions("fraud_detection")] == ["v1.2.0"]


def test_other_content_under_the_version_is_refused(bucket):
    bucket.put_object(Key=KEY, Body=b"another model")
    done = register()
    assert done.returncode != 0 and "ApiError" in done.stderr, done.stderr
    version = mcplane.RegistryClient().get_version("fraud_detection", "v1.2.0")
    assert version.digest == hashlib.sha256(b"the model").hexdigest()


def test_a_version_can_be_generated_and_compared(bucket):
    client = mcplane.RegistryClient()
    made = client.register_model("fraud_detection", model_path=f"s3://models/{KEY}", metrics={"accuracy": 0.95})
    assert made.version == "v1.3.0"
    comparison = client.compare("fraud_detection", "v1.2.0", "v1.3.0")
    assert not comparison.same_content
    with pytest.raises(mcplane.ApiError):
        client.register_model("fraud_detection", model_path="s3://somebody-else/key")

"""Webhooks as MLflow's own client makes them, and what they are told. The server must let them reach 127.0.0.1 without TLS."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import threading
import time
import uuid

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent
from mlflow.exceptions import MlflowException

URL = os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5080")
SECRET = "hunter2"
PUBLIC = "https://8.8.8.8/hook"


class Receiver:
    """Keeps what it is sent: headers and body. Answers with the statuses it was given, then with 200."""

    def __init__(self):
        self.got, self.statuses = [], []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"done")

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count):
        end = time.monotonic() + 30
        while len(self.got) < count:
            assert time.monotonic() < end, f"{len(self.got)} of {count} came"
            time.sleep(0.02)
        return self.got

    def events(self, count):
        bodies = [json.loads(body) for _, body in self.wait(count)]
        return [(f"{body['entity']}.{body['action']}", body["data"]) for body in bodies]


def is_signed(headers, body, secret=SECRET):
    """As the documentation of MLflow tells receivers to check it."""
    headers = {name.lower(): value for name, value in headers.items()}
    content = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{body.decode()}"
    expected = base64.b64encode(hmac.new(secret.encode(), content.encode(), hashlib.sha256).digest()).decode()
    return abs(time.time() - int(headers["x-mlflow-timestamp"])) < 60 and headers["x-mlflow-signature"] == f"v1,{expected}"


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()


@pytest.fixture
def client():
    client = MlflowClient(URL, URL)
    yield client
    for webhook in client.list_webhooks(max_results=1000):
        client.delete_webhook(webhook.webhook_id)


@pytest.fixture
def name():
    return f"hooked-{uuid.uuid4().hex[:8]}"


def test_webhooks_live_and_die(client, name):
    made = client.create_webhook(name, PUBLIC, ["model_version.created", "registered_model.created"], "why", SECRET)
    assert (made.name, made.url, made.description, made.status) == (name, PUBLIC, "why", "ACTIVE")
    assert made.creation_timestamp == made.last_updated_timestamp
    assert SECRET not in repr(vars(made))
    found = client.get_webhook(made.webhook_id)
    assert [str(event) for event in found.events] == ["model_version.created", "registered_model.created"]
    events = [WebhookEvent.from_str("prompt.created")]
    changed = client.update_webhook(made.webhook_id, status="DISABLED", description="because", events=events, name=f"{name}.2")
    assert (changed.status, changed.description, changed.name) == ("DISABLED", "because", f"{name}.2")
    assert (changed.events, changed.url) == (events, PUBLIC)
    assert changed.last_updated_timestamp >= changed.creation_timestamp
    client.delete_webhook(made.webhook_id)
    with pytest.raises(MlflowException, match=f"Webhook with ID {made.webhook_id} not found.") as gone:
        client.get_webhook(made.webhook_id)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_webhooks_are_listed_the_newest_first(client, name):
    for number in range(5):
        client.create_webhook(f"{name}-{number}", PUBLIC, ["prompt.created"])
        time.sleep(0.01)
    first = client.list_webhooks(max_results=3)
    second = client.list_webhooks(max_results=3, page_token=first.token)
    assert [webhook.name for webhook in [*first, *second]] == [f"{name}-{number}" for number in [4, 3, 2, 1, 0]]
    assert not second.token
    with pytest.raises(MlflowException, match="max_results must be between 1 and 1000."):
        client.list_webhooks(max_results=1001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a b"}, "Webhook name 'a b' is invalid."),
        ({"name": "-a"}, "It must start and end with a letter or digit"),
        ({"url": "example.com"}, "Invalid webhook URL scheme: ''."),
        ({"url": "ftp://8.8.8.8/x"}, "Invalid webhook URL scheme: 'ftp'."),
        ({"url": "https:///x"}, "Webhook URL must include a hostname: 'https:///x'"),
        ({"url": "  "}, "Webhook URL cannot be empty or just whitespace: '  '"),
        ({"events": []}, "Missing value for required parameter 'events'."),
    ],
)
def test_requests_are_checked(client, name, change, message):
    good = {"name": name, "url": PUBLIC, "events": ["prompt.created"]}
    with pytest.raises(MlflowException, match=message) as refused:
        client.create_webhook(**{**good, **change})
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.skipif("MCPLANE_URL" not in os.environ, reason="MLflow's server must be told to let all addresses in, for the others")
@pytest.mark.parametrize("host", ["127.0.0.2", "2130706434", "[::1]", "[::ffff:127.0.0.2]", "169.254.169.254", "10.0.0.1"])
def test_what_is_not_public_is_not_reached(client, name, host):
    with pytest.raises(MlflowException, match="Webhook URL must not resolve to a non-public IP address."):
        client.create_webhook(name, f"https://{host}/", ["prompt.created"])


def test_changes_of_the_registry_are_told(client, name, receiver):
    events = ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted"]
    client.create_webhook(name, receiver.url, [*events, "model_version_alias.created", "model_version_alias.deleted"], secret=SECRET)
    client.create_registered_model(name, tags={"a": "b"}, description="d")
    client.create_model_version(name, "s3://bucket/model", tags={"c": "d"})
    receiver.wait(2)
    client.set_model_version_tag(name, "1", "k", "v")
    receiver.wait(3)
    client.delete_model_version_tag(name, "1", "k")
    receiver.wait(4)
    client.set_registered_model_alias(name, "champion", "1")
    receiver.wait(5)
    client.delete_registered_model_alias(name, "champion")
    version = {"name": name, "version": "1"}
    expected = [
        ("registered_model.created", {"name": name, "tags": {"a": "b"}, "description": "d"}),
        (
            "model_version.created",
            {**version, "source": "s3://bucket/model", "run_id": None, "tags": {"c": "d"}, "description": None},
        ),
        ("model_version_tag.set", {**version, "key": "k", "value": "v"}),
        ("model_version_tag.deleted", {**version, "key": "k"}),
        ("model_version_alias.created", {**version, "alias": "champion"}),
        ("model_version_alias.deleted", {"name": name, "alias": "champion"}),
    ]
    assert receiver.events(6) == expected
    assert all(is_signed(*delivery) for delivery in receiver.got)
    assert not is_signed(*receiver.got[0], secret="other")


def test_changes_of_prompts_are_told(client, name, receiver):
    kinds = ["prompt.created", "prompt_version.created", "prompt_alias.created"]
    client.create_webhook(name, receiver.url, kinds)
    mlflow.set_tracking_uri(URL)
    mlflow.genai.register_prompt(name, "Hello {{x}}", commit_message="first", tags={"t": "1"})
    mlflow.genai.set_prompt_alias(name, "live", 1)
    told = dict(receiver.events(3))
    assert told["prompt.created"]["name"] == name
    made = told["prompt_version.created"]
    assert (made["template"], made["description"], made["version"]) == ("Hello {{x}}", "first", "1")
    assert not any(key.startswith("mlflow.prompt.is") for key in made["tags"]) and made["tags"]["t"] == "1"
    assert told["prompt_alias.created"] == {"name": name, "alias": "live", "version": "1"}


def test_a_receiver_that_is_away_is_told_later(client, name, receiver):
    client.create_webhook(name, receiver.url, ["registered_model.created"], secret=SECRET)
    receiver.statuses = [503, 503]
    client.create_registered_model(name)
    got = receiver.wait(3)
    assert len({headers.get("X-MLflow-Delivery-Id", headers.get("x-mlflow-delivery-id")) for headers, _ in got}) == 1
    assert len({body for _, body in got}) == 1


def test_a_webhook_is_tested(client, name, receiver):
    made = client.create_webhook(name, receiver.url, ["registered_model.created", "prompt.created"], secret=SECRET)
    tested = client.test_webhook(made.webhook_id)
    assert (tested.success, tested.response_status, tested.response_body) == (True, 200, "done")
    assert receiver.events(1) == [
        ("prompt.created", {"name": "example_prompt", "tags": {"example_key": "example_value"}, "description": "An example prompt"})
    ]
    assert is_signed(*receiver.got[0])
    receiver.statuses = [404]
    tested = client.test_webhook(made.webhook_id, "registered_model.created")
    assert (tested.success, tested.response_status) == (False, 404)
    client.update_webhook(made.webhook_id, url="http://127.0.0.1:1/")
    tested = client.test_webhook(made.webhook_id)
    assert not tested.success and tested.error_message.startswith("Failed to test webhook: ")

"""What the client sends, and what it makes of answers."""

import http.server
import json
import threading

import pytest

import mcplane


class Recorder(http.server.BaseHTTPRequestHandler):
    status = 200
    answer = {"name": "m", "version": "v1.0.0", "number": 1, "state": "Verified", "digest": "ab", "size": 3, "new_field": 1}
    seen: list = []

    def _reply(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        Recorder.seen.append((self.command, self.path, self.headers.get("authorization"), body))
        data = json.dumps(Recorder.answer).encode()
        self.send_response(Recorder.status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _reply

    def log_message(self, *_):
        pass


@pytest.fixture()
def server(monkeypatch):
    Recorder.status, Recorder.seen = 200, []
    httpd = http.server.HTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("MCPLANE_URL", f"http://127.0.0.1:{httpd.server_port}")
    monkeypatch.delenv("MCPLANE_TOKEN", raising=False)
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def test_a_registration_names_what_it_was_given(server):
    client = mcplane.RegistryClient(token="t", namespace="team a")
    made = client.register_model("fraud/x", version="v1.0.0", metrics={"accuracy": 0.9}, model_path="s3://b/k", environment={})
    assert (made.version, made.number, made.digest, made.metrics) == ("v1.0.0", 1, "ab", {})
    method, path, token, body = Recorder.seen[0]
    assert (method, path) == ("POST", "/models/v1/namespaces/team%20a/models/fraud%2Fx/versions")
    assert token == "Bearer t"
    assert body == {"version": "v1.0.0", "model_path": "s3://b/k", "metrics": {"accuracy": 0.9}}


def test_the_environment_is_captured(server):
    mcplane.RegistryClient().register_model("m", model_path="s3://b/k")
    environment = Recorder.seen[0][3]["environment"]
    assert environment["python"].count(".") == 2


def test_refusals_are_told(server):
    Recorder.status, old = 400, Recorder.answer
    Recorder.answer = {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "other content"}
    try:
        with pytest.raises(mcplane.ApiError) as refused:
            mcplane.RegistryClient().get_version("m", "v1.0.0")
    finally:
        Recorder.answer = old
    assert (refused.value.status, refused.value.code) == (400, "RESOURCE_ALREADY_EXISTS")


def test_nobody_there():
    with pytest.raises(mcplane.Unreachable, match="mcplane server"):
        mcplane.RegistryClient("http://127.0.0.1:9").list_versions("m")


def test_tokens_need_tls():
    with pytest.raises(ValueError, match="TLS"):
        mcplane.RegistryClient("http://example.com", token="t")

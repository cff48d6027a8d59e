"""Traces through MLflow's own client, and through OpenTelemetry's exporter where that is installed.

    MLFLOW_TRACKING_URI=http://127.0.0.1:8080 pytest traces.py

Run against this server and against `mlflow server`: both must pass.
"""

import os
import uuid

import mlflow
import pytest
from mlflow.entities import AssessmentSource, Expectation
from mlflow.exceptions import MlflowException

URI = os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture
def experiment():
    mlflow.set_tracking_uri(URI)
    return mlflow.set_experiment(f"traces-{uuid.uuid4().hex[:8]}").experiment_id


@mlflow.trace(span_type="LLM")
def inner(x):
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    mlflow.get_current_active_span().set_attributes({"list": [1, 2.5, None], "mlflow.chat.tokenUsage": usage})
    return {"y": x + 1, "text": "äöü"}


@mlflow.trace
def outer(a, b, fail=False):
    mlflow.update_current_trace(tags={"team": "blue"}, metadata={"mlflow.trace.session": "s1"})
    result = inner(a)["y"] * b
    if fail:
        raise ValueError("told to")
    return result


def trace(*args, **kwargs):
    try:
        outer(*args, **kwargs)
    except ValueError:
        pass
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def test_nested_spans(experiment):
    found = mlflow.get_trace(trace(3, 4))
    assert [span.name for span in found.data.spans] == ["outer", "inner"]
    root, child = found.data.spans
    assert child.parent_id == root.span_id
    assert root.inputs == {"a": 3, "b": 4, "fail": False} or root.inputs == {"a": 3, "b": 4}
    assert root.outputs == 16
    assert child.outputs == {"y": 4, "text": "äöü"}
    assert child.get_attribute("list") == [1, 2.5, None]
    assert found.info.token_usage == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert found.info.state == "OK"
    assert found.info.tags["team"] == "blue"
    assert found.info.trace_metadata["mlflow.trace.session"] == "s1"


def test_search(experiment):
    good, bad = trace(1, 2), trace(5, 6, fail=True)

    def search(**kwargs):
        traces = mlflow.search_traces(locations=[experiment], return_type="list", **kwargs)
        return [trace.info.trace_id for trace in traces]

    assert search() == [bad, good]
    assert search(order_by=["timestamp_ms ASC"]) == [good, bad]
    assert search(filter_string="trace.status = 'ERROR'") == [bad]
    assert search(filter_string="tags.team = 'blue' AND trace.status = 'OK'") == [good]
    assert search(filter_string="trace.name LIKE 'out%'", max_results=1) == [bad]
    assert search(filter_string="span.name = 'inner' AND span.type = 'LLM'") == [bad, good]
    assert search(filter_string="span.name = 'inner' AND span.type = 'TOOL'") == []
    assert search(filter_string="trace.text LIKE '%äöü%'") == [bad, good]
    with pytest.raises(MlflowException, match="Invalid attribute key 'foo'"):
        search(filter_string="foo = 'x'")


def test_assessments(experiment):
    id = trace(1, 2)
    person = AssessmentSource(source_type="HUMAN", source_id="ann")
    feedback = mlflow.log_feedback(trace_id=id, name="good", value=True, rationale="why not", source=person)
    mlflow.log_feedback(trace_id=id, name="score", value=4.5, source=person)
    expectation = mlflow.log_expectation(trace_id=id, name="answer", value={"a": [1, "ä"]})
    assert mlflow.get_assessment(id, feedback.assessment_id).value is True
    assert mlflow.get_assessment(id, expectation.assessment_id).value == {"a": [1, "ä"]}
    mlflow.update_assessment(id, expectation.assessment_id, Expectation(name="answer", value=5))
    assert mlflow.get_assessment(id, expectation.assessment_id).value == 5
    newer = mlflow.override_feedback(trace_id=id, assessment_id=feedback.assessment_id, value=False)
    assert mlflow.get_assessment(id, feedback.assessment_id).valid is False
    assert newer.overrides == feedback.assessment_id
    assert len(mlflow.get_trace(id).info.assessments) == 4
    found = mlflow.search_traces(locations=[experiment], return_type="list", filter_string="feedback.score > 4")
    assert [trace.info.trace_id for trace in found] == [id]
    mlflow.delete_assessment(id, newer.assessment_id)
    assert mlflow.get_assessment(id, feedback.assessment_id).valid is True


def test_tags_and_deletion(experiment):
    client = mlflow.MlflowClient()
    id = trace(1, 2)
    client.set_trace_tag(id, "a", "b")
    assert client.get_trace(id).info.tags["a"] == "b"
    client.delete_trace_tag(id, "a")
    assert "a" not in client.get_trace(id).info.tags
    assert client.delete_traces(experiment_id=experiment, trace_ids=[id]) == 1
    assert mlflow.get_trace(id, silent=True) is None


def test_runs_know_their_traces(experiment):
    with mlflow.start_run() as run:
        id = trace(1, 2)
    found = mlflow.search_traces(locations=[experiment], run_id=run.info.run_id, return_type="list")
    assert [trace.info.trace_id for trace in found] == [id]


@pytest.mark.parametrize("compression", ["gzip", "deflate", "none"])
def test_opentelemetry(experiment, compression):
    exporters = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    headers = {"x-mlflow-experiment-id": experiment}
    exporter = exporters.OTLPSpanExporter(f"{URI}/v1/traces", headers=headers, compression=Compression(compression))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("root") as span:
        span.set_attribute("numbers", [1, 2])
        span.add_event("happened", {"what": 1})
        with provider.get_tracer("t").start_as_current_span("child"):
            pass
        id = f"tr-{span.get_span_context().trace_id:032x}"
    provider.shutdown()
    found = mlflow.get_trace(id)
    assert [span.name for span in found.data.spans] == ["root", "child"]
    assert found.data.spans[0].get_attribute("numbers") == [1, 2]
    assert found.data.spans[0].events[0].name == "happened"
    assert found.info.tags["service.name"] == "shop"

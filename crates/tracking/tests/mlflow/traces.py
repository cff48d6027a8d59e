"""Traces through MLflow's own client, and through OpenTelemetry's exporter where that is installed.

    MLFLOW_TRACKING_URI=http://127.0.0.1:8080 pytest traces.py

Run against this server and against `mlflow server`: both must pass.
"""

import math
import os
import uuid

import mlflow
import pytest
import requests
from mlflow.entities import AssessmentSource, Expectation
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.entities.trace_status import TraceStatus
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient

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


def test_measures_of_traces(experiment):
    trace(1, 2)
    trace(3, 4)
    trace(1, 2, fail=True)
    store = mlflow.MlflowClient()._tracing_client.store
    count = [MetricAggregation(aggregation_type=AggregationType.COUNT)]
    points = store.query_trace_metrics(
        experiment_ids=[experiment],
        view_type=MetricViewType.TRACES,
        metric_name="trace_count",
        aggregations=count,
        dimensions=["trace_status"],
    )
    assert [(point.dimensions, point.values) for point in points] == [
        ({"trace_status": "ERROR"}, {"COUNT": 1}),
        ({"trace_status": "OK"}, {"COUNT": 2}),
    ]
    points = store.query_trace_metrics(
        experiment_ids=[experiment],
        view_type=MetricViewType.SPANS,
        metric_name="span_count",
        aggregations=count,
        dimensions=["span_name"],
    )
    assert [(point.dimensions["span_name"], point.values["COUNT"]) for point in points] == [("inner", 3), ("outer", 3)]
    with pytest.raises(MlflowException, match="metric_name must be one of"):
        store.query_trace_metrics(
            experiment_ids=[experiment], view_type=MetricViewType.TRACES, metric_name="x", aggregations=count
        )


def test_filters_are_related(experiment):
    good = trace(1, 2)
    trace(1, 2, fail=True)
    client = TracingClient(tracking_uri=URI)
    client.set_trace_tag(good, "env", "prod")

    def related(first, second):
        return client.calculate_trace_filter_correlation(
            experiment_ids=[experiment], filter_string1=first, filter_string2=second
        )

    both = related("tags.env = 'prod'", "attributes.status = 'OK'")
    assert (both.filter1_count, both.filter2_count, both.joint_count, both.total_count) == (1, 1, 1, 2)
    assert both.npmi == pytest.approx(1.0)
    assert math.isnan(related("tags.env = 'none'", "attributes.status = 'OK'").npmi)
    assert related("tags.env = 'prod'", "attributes.status = 'ERROR'").npmi == -1.0


def test_spans_of_other_libraries_as_json(experiment):
    trace_id = uuid.uuid4().hex

    def text(key, value):
        return {"key": key, "value": {"stringValue": value}}

    span = {
        "traceId": trace_id,
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt",
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": "1544712661000000000",
        "attributes": [
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", "gpt"),
            text("gen_ai.provider.name", "openai"),
            text("gen_ai.input.messages", '[{"role": "user", "content": "hi"}]'),
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "5"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 7}},
        ],
        "status": {"code": 1},
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    answer = requests.post(f"{URI}/v1/traces", json=body, headers={"x-mlflow-experiment-id": experiment}, timeout=30)
    assert answer.status_code == 200, answer.text
    found = mlflow.get_trace(f"tr-{trace_id}")
    [root] = found.data.spans
    assert root.span_type == "CHAT_MODEL"
    assert root.get_attribute("mlflow.llm.model") == "gpt"
    assert root.get_attribute("mlflow.llm.provider") == "openai"
    assert found.info.token_usage == {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}


def test_clients_of_version_2(experiment):
    store = mlflow.MlflowClient()._tracing_client.store
    begun = store.deprecated_start_trace_v2(
        experiment_id=experiment, timestamp_ms=1000, request_metadata={"a": "1", "b": "1"}, tags={"t": "1"}
    )
    assert (begun.status, begun.execution_time_ms) == ("IN_PROGRESS", 0)
    ended = store.deprecated_end_trace_v2(
        request_id=begun.request_id,
        timestamp_ms=3000,
        status=TraceStatus.OK,
        request_metadata={"b": "2"},
        tags={"t": "2", "u": "3"},
    )
    assert (ended.timestamp_ms, ended.execution_time_ms, ended.status) == (1000, 2000, "OK")
    assert ended.request_metadata == {"a": "1", "b": "2"}
    assert {key: value for key, value in ended.tags.items() if not key.startswith("mlflow.")} == {"t": "2", "u": "3"}

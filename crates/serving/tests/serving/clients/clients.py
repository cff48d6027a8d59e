"""What people do with their own clients: metadata, inference in JSON and bytes, mistakes."""

import asyncio
import importlib.util
import sys
import types

import httpx
import numpy as np
import tritonclient.http as triton
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.types.inference_request import InferenceRequest
from open_inference.openapi.types.request_input import RequestInput
from tritonclient.utils import InferenceServerException

# The package's own beginning imports its server and Kubernetes' client, hundreds of megabytes that the client has no use for;
# what it does use is as published.
kserve = types.ModuleType("kserve")
kserve.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
sys.modules["kserve"] = kserve
from kserve.inference_client import InferenceRESTClient, RESTConfig  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput  # noqa: E402

ADDRESS = sys.argv[1]
ROWS = np.linspace(-2, 2, 18, dtype=np.float32).reshape(3, 6)


def refused(call, words):
    try:
        call()
    except InferenceServerException as error:
        assert words in error.message(), error
    else:
        raise AssertionError(f"not refused: {words}")


def tritonclient():
    client = triton.InferenceServerClient(ADDRESS)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("forest")
    assert client.is_model_ready("forest", "1") and not client.is_model_ready("forest", "9")
    assert client.get_server_metadata()["name"] == "mcplane"
    metadata = client.get_model_metadata("forest")
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 6]}], metadata
    assert [one["name"] for one in client.get_model_repository_index()] == ["columns", "forest"]
    names = [one["name"] for one in metadata["outputs"]]
    answers = []
    for binary, packed in [(True, None), (False, None), (True, "gzip"), (False, "deflate")]:
        given = triton.InferInput("X", list(ROWS.shape), "FP32")
        given.set_data_from_numpy(ROWS, binary_data=binary)
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
        answer = client.infer("forest", [given], outputs=wanted, request_id="r", request_compression_algorithm=packed)
        assert answer.get_response()["id"] == "r"
        answers.append([answer.as_numpy(name) for name in names])
    for labels, scores in answers:
        assert [one.decode() if isinstance(one, bytes) else one for one in labels] == [
            one.decode() for one in answers[0][0]
        ]
        assert scores.dtype == np.float32 and np.array_equal(scores, answers[0][1]), scores
    columns = []
    for name, value in [("age", np.array([[30.5], [np.nan]], np.float32)), ("pay", np.ones((2, 1), np.float32)),
                        ("city", np.array([["Oslo"], ["São Paulo"]], object)), ("grade", np.array([[1], [4]], np.int64))]:
        kind = {"city": "BYTES", "grade": "INT64"}.get(name, "FP32")
        columns.append(triton.InferInput(name, [2, 1], kind))
        columns[-1].set_data_from_numpy(value)
    answer = client.infer("columns", columns)
    assert answer.get_response()["model_version"] == "3"

    def one(shape, kind, value):
        given = triton.InferInput("X", shape, kind)
        given.set_data_from_numpy(value)
        return lambda: client.infer("forest", [given])

    refused(one([1, 5], "FP32", np.zeros((1, 5), np.float32)), "must have shape [-1, 6], got [1, 5]")
    refused(one([1, 6], "FP64", np.zeros((1, 6))), "must be FP32, got FP64")
    refused(lambda: client.infer("nobody", columns), "there is no model")
    refused(lambda: client.infer("forest", columns), "no input")
    refused(lambda: client.infer("columns", columns[:2]), "is missing")
    client.close()


def open_inference():
    client = OpenInferenceClient(base_url=f"http://{ADDRESS}")
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("forest")
    assert client.read_server_metadata().name == "mcplane"
    assert client.read_model_metadata("forest").inputs[0].shape == [-1, 6]

    def ask(shape, data, model="forest"):
        given = RequestInput(name="X", shape=shape, datatype="FP32", data=data)
        return client.model_infer(model, request=InferenceRequest(inputs=[given]))

    answer = ask([3, 6], ROWS.tolist())
    assert answer.outputs[0].shape == [3], answer
    mistakes = [
        (400, lambda: ask([1_000_000, 1_000_000], [1.0])),
        (404, lambda: client.read_model_metadata("nobody")),
        (404, lambda: ask([3, 6], ROWS.tolist(), "nobody")),
    ]
    for status, call in mistakes:
        try:
            call()
        except ApiError as error:
            assert error.status_code == status, error
        else:
            raise AssertionError(f"not refused with {status}")


async def kserve_client():
    url = f"http://{ADDRESS}"
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=30)) as client:
        assert await client.is_server_ready(url) and await client.is_server_live(url)
        assert await client.is_model_ready(url, "forest") and not await client.is_model_ready(url, "nobody")

        def asked(shape, datatype, rows, binary, **more):
            given = InferInput("X", shape, datatype)
            given.set_data_from_numpy(rows, binary_data=binary)
            return client.infer(url, InferRequest("forest", [given], request_id="r", **more), model_name="forest")

        answers = []
        for binary in (True, False):
            answer = await asked([3, 6], "FP32", ROWS, binary)
            assert (answer.id, answer.model_name) == ("r", "forest"), answer
            answers.append({one.name: one.as_numpy() for one in answer.outputs})
        first, second = answers
        assert first.keys() == second.keys() and len(first) == 2, answers
        assert all(np.array_equal(first[name], second[name]) for name in first), answers
        scores = next(name for name, values in first.items() if values.dtype == np.float32)
        only = await asked([3, 6], "FP32", ROWS, False, request_outputs=[RequestedOutput(scores, {"binary_data": True})])
        assert [one.name for one in only.outputs] == [scores] and np.array_equal(only.outputs[0].as_numpy(), first[scores])

        mistakes = [
            (400, "must have shape [-1, 6], got [1, 5]", asked([1, 5], "FP32", ROWS[:1, :5], False)),
            (400, "must be FP32, got FP64", asked([3, 6], "FP64", ROWS.astype(np.float64), True)),
            (404, "there is no model", client.infer(url, {"inputs": []}, model_name="nobody")),
            (400, "", client.infer(url, {"inputs": "nothing"}, model_name="forest")),
        ]
        for status, words, call in mistakes:
            try:
                await call
            except httpx.HTTPStatusError as error:
                assert error.response.status_code == status and words in str(error), error
            else:
                raise AssertionError(f"not refused with {status}")


def mlflow_clients():
    url = f"http://{ADDRESS}/v2/models/forest/invocations"
    answers = [
        httpx.post(url, json={"inputs": ROWS.tolist()}),
        httpx.post(url, json={"instances": ROWS.tolist()}),
        httpx.post(url, json={"dataframe_split": {"columns": list("abcdef"), "data": ROWS.tolist()}}),
        httpx.post(url, json={"dataframe_records": [dict(zip("abcdef", row)) for row in ROWS.tolist()]}),
        httpx.post(url, content="a,b,c,d,e,f\n" + "\n".join(",".join(map(repr, row)) for row in ROWS.tolist()), headers={"content-type": "text/csv"}),
    ]
    assert all(answer.status_code == 200 for answer in answers), [answer.text for answer in answers]
    assert len({answer.text for answer in answers}) == 1, [answer.text for answer in answers]
    assert httpx.post(f"http://{ADDRESS}/invocations", json={}).status_code == 400


tritonclient()
open_inference()
asyncio.run(kserve_client())
mlflow_clients()
print("all clients are served")

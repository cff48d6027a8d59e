"""The same with Triton's client: `pip install 'tritonclient[http]'`."""

import os

import numpy
import tritonclient.http

client = tritonclient.http.InferenceServerClient(os.environ.get("MODELS", "127.0.0.1:5081"))
wine = numpy.array([[13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]], numpy.float32)
given = tritonclient.http.InferInput("X", list(wine.shape), "FP32")
given.set_data_from_numpy(wine)
answer = client.infer("wines", [given])
print("cultivar", answer.as_numpy("label")[0], "with", answer.as_numpy("probabilities")[0])

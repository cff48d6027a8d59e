"""Makes models in the folder of the argument and prints `name rows microseconds` of onnxruntime for each."""

import pathlib
import sys
import time

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

folder = pathlib.Path(sys.argv[1])
random = np.random.default_rng(3)
data = random.normal(size=(2000, 20)).astype(np.float32)
target = (data[:, 0] - data[:, 1] * data[:, 2] > 0).astype(np.int64)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
for name, model in {
    "boosting": GradientBoostingClassifier(n_estimators=100, random_state=1),
    "forest": RandomForestClassifier(100, max_depth=8, random_state=1),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "mlp": make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=20, random_state=1)),
}.items():
    model.fit(data, target)
    text = to_onnx(model, data[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options={"zipmap": False}).SerializeToString()
    (folder / f"{name}.onnx").write_bytes(text)
    session = onnxruntime.InferenceSession(text, options, providers=["CPUExecutionProvider"])
    key = session.get_inputs()[0].name
    for rows in (1, 64, 256):
        indices = np.arange(rows * 20)
        values = (((indices * 7919) % 4001) / 1000 - 2).astype(np.float32).reshape(rows, 20)
        times = []
        for _ in range(1000):
            started = time.perf_counter()
            session.run(None, {key: values})
            times.append(time.perf_counter() - started)
        print(name, rows, sorted(times)[500] * 1e6)

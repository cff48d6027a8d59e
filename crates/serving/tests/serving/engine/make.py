"""Makes the models of this folder and what onnxruntime answers for them.

    python make.py

needs numpy, scikit-learn, skl2onnx, onnxmltools, xgboost, lightgbm, onnx and onnxruntime. Each model becomes NAME.onnx and
NAME.json: cases of inputs and outputs, numbers as little-endian bytes in hexadecimal so that NaN and the last bit survive.
"""

import itertools
import json
import pathlib
import warnings

import lightgbm
import numpy as np
import onnx
import onnxruntime
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (cluster, compose, decomposition, discriminant_analysis, ensemble, feature_selection, impute,
                     linear_model, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree)

warnings.filterwarnings("ignore")
OPSETS = {"": 17, "ai.onnx.ml": 3}
HERE = pathlib.Path(__file__).parent / "models"
ROWS = np.random.default_rng(7)
X = ROWS.normal(size=(200, 6)).astype(np.float32)
SCORE = X[:, 0] - X[:, 1] * X[:, 2] + 0.3 * ROWS.normal(size=200)
BINARY = (SCORE > 0).astype(np.int64)
MULTI = np.digitize(SCORE, [-0.7, 0.7]).astype(np.int64)
NAMES = np.array(["low", "mid", "high"])[MULTI]
WITH_GAPS = np.where(ROWS.random(X.shape) < 0.15, np.nan, X).astype(np.float32)
NAMES_OF_TYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "int32": "INT32", "bool": "BOOL"}


def tensor(name, value):
    value = np.asarray(value)
    if value.dtype.kind in "OUS":
        return {"name": name, "datatype": "BYTES", "shape": list(value.shape), "data": [str(v) for v in value.ravel()]}
    kind = NAMES_OF_TYPES[value.dtype.name]
    return {"name": name, "datatype": kind, "shape": list(value.shape), "hex": np.ascontiguousarray(value).tobytes().hex()}


def plain(value):
    """A ZipMap's answer as the matrix of its values."""
    if isinstance(value, list) and (not value or isinstance(value[0], dict)):
        return np.array([list(row.values()) for row in value], np.float32)
    return value


def keep(name, model, cases):
    text = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(text, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    written = []
    for case in cases:
        try:
            answers = session.run(None, case)
        except Exception as error:
            if next(iter(case.values())).shape[0]:
                raise
            continue  # onnxruntime refuses an empty batch for some operators; here it has an empty answer
        kept = [tensor(output, plain(answer)) for output, answer in zip(outputs, answers)]
        rows = next(iter(case.values())).shape[0]
        if rows == 0:
            kept = [answer for answer in kept if answer["shape"] != [0]] or kept[:1]
        written.append({"inputs": [tensor(key, value) for key, value in case.items()], "outputs": kept})
    (HERE / f"{name}.onnx").write_bytes(text)
    (HERE / f"{name}.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")
    ops = sorted({node.op_type for node in onnx.load_from_string(text).graph.node})
    print(f"{name:28} {len(text):7} {' '.join(ops)}")


def rows(data):
    """Nothing, one row, many rows, and rows that no training set has."""
    huge = 1e30 if data.dtype.kind == "f" else 1 << 40
    odd = np.array([[value] * data.shape[1] for value in (0, huge, -huge)], data.dtype)
    return [data[:0], data[:1], data[:12], odd]


def strange(data):
    return [np.array([[np.nan] * data.shape[1], [np.inf] * data.shape[1], [-np.inf] * data.shape[1]], np.float32)]


def plain_attributes():
    """The converter hands over NumPy arrays where this version of onnx wants lists."""
    from skl2onnx.common import _container
    make = onnx.helper.make_node

    def listed(value):
        if isinstance(value, (np.ndarray, list)):
            value = [one.item() if hasattr(one, "item") else one for one in value]
            return [int(one) if isinstance(one, bool) else one for one in value]
        return value

    _container.make_node = lambda *args, **kwargs: make(*args, **{key: listed(value) for key, value in kwargs.items()})


def sklearn_models():
    for name, estimator, target, gaps in [
        ("logistic_binary", linear_model.LogisticRegression(), BINARY, False),
        ("logistic_names", linear_model.LogisticRegression(), NAMES, False),
        ("ridge", linear_model.Ridge(), SCORE, False),
        ("linear_two_targets", linear_model.LinearRegression(), np.c_[SCORE, X[:, 0]], False),
        ("sgd", linear_model.SGDClassifier(loss="log_loss", random_state=1), MULTI, False),
        ("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=1), NAMES, True),
        ("tree_regressor", tree.DecisionTreeRegressor(max_depth=4, random_state=1), SCORE, True),
        ("forest_binary", ensemble.RandomForestClassifier(10, max_depth=4, random_state=1), BINARY, True),
        ("forest_names", ensemble.RandomForestClassifier(10, max_depth=4, random_state=1), NAMES, True),
        ("forest_regressor", ensemble.RandomForestRegressor(10, max_depth=4, random_state=1), SCORE, True),
        ("extra_trees", ensemble.ExtraTreesClassifier(10, max_depth=4, random_state=1), MULTI, True),
        ("boosting_binary", ensemble.GradientBoostingClassifier(n_estimators=10, random_state=1), BINARY, False),
        ("boosting_multi", ensemble.GradientBoostingClassifier(n_estimators=8, random_state=1), MULTI, False),
        ("boosting_regressor", ensemble.GradientBoostingRegressor(n_estimators=10, random_state=1), SCORE, False),
        ("hist_binary", ensemble.HistGradientBoostingClassifier(max_iter=8, random_state=1), BINARY, True),
        ("hist_multi", ensemble.HistGradientBoostingClassifier(max_iter=6, max_depth=3, random_state=1), MULTI, True),
        ("hist_regressor", ensemble.HistGradientBoostingRegressor(max_iter=8, random_state=1), SCORE, True),
        ("ada", ensemble.AdaBoostClassifier(n_estimators=5, random_state=1), MULTI, False),
        ("bagging", ensemble.BaggingClassifier(n_estimators=4, random_state=1), BINARY, False),
        ("voting", ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3))], voting="soft", flatten_transform=False), BINARY, False),
        ("isolation", ensemble.IsolationForest(n_estimators=5, max_samples=32, random_state=1), None, False),
        ("mlp", neural_network.MLPClassifier((16, 8), max_iter=80, random_state=1), MULTI, False),
        ("mlp_binary", neural_network.MLPClassifier((8,), activation="tanh", max_iter=80, random_state=1), BINARY, False),
        ("mlp_regressor", neural_network.MLPRegressor(hidden_layer_sizes=(8,), activation="logistic", max_iter=80, random_state=1), SCORE, False),
        ("svc", svm.SVC(probability=True, random_state=1), MULTI, False),
        ("svc_binary", svm.SVC(kernel="poly", degree=2, random_state=1), BINARY, False),
        ("svr", svm.SVR(), SCORE, False),
        ("linear_svc", svm.LinearSVC(), MULTI, False),
        ("gaussian_nb", naive_bayes.GaussianNB(), MULTI, False),
        ("lda", discriminant_analysis.LinearDiscriminantAnalysis(), MULTI, False),
        ("kmeans", cluster.KMeans(3, n_init=2, random_state=1), None, False),
        ("knn", neighbors.KNeighborsClassifier(3), MULTI, False),
        ("pca_logistic", pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(3), linear_model.LogisticRegression()), BINARY, False),
        ("steps", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.MinMaxScaler(), preprocessing.Normalizer(), feature_selection.SelectKBest(k=4), linear_model.LogisticRegression()), MULTI, False),
        ("binarizer", pipeline.make_pipeline(preprocessing.RobustScaler(), preprocessing.Binarizer(threshold=0.2), linear_model.LogisticRegression()), BINARY, False),
        ("polynomial", pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge()), SCORE, False),
        ("bins", pipeline.make_pipeline(preprocessing.KBinsDiscretizer(4, encode="onehot-dense"), linear_model.LogisticRegression()), BINARY, False),
    ]:
        training = WITH_GAPS if name.startswith("hist") or name == "steps" else X
        try:
            estimator.fit(training) if target is None else estimator.fit(training, target)
            model = to_onnx(estimator, initial_types=[("X", FloatTensorType([None, 6]))], target_opset=OPSETS)
            cases = [{"X": data} for data in rows(training)]
            if name in ("svc", "svc_binary", "svr", "mlp", "mlp_binary", "mlp_regressor", "gaussian_nb", "lda", "kmeans", "knn", "pca_logistic", "polynomial", "steps", "linear_two_targets"):
                cases = [{"X": data} for data in rows(training)[:3]]
            if name.startswith("knn") or name in ("kmeans", "isolation"):
                cases = cases[1:3]
            if gaps:
                cases += [{"X": data} for data in strange(training)] + [{"X": WITH_GAPS[:8]}]
            keep(name, model, cases)
        except Exception as error:  # the converter's own limits are printed, not hidden
            print(f"{name:28} LEFT OUT: {type(error).__name__}: {str(error)[-150:]}")


def columns():
    cities = np.array(["Oslo", "Rome", "", "São Paulo"])[ROWS.integers(0, 4, 200)]
    grades = ROWS.integers(0, 5, 200).astype(np.int64)
    import pandas
    frame = pandas.DataFrame({"age": WITH_GAPS[:, 0], "pay": WITH_GAPS[:, 1], "city": cities, "grade": grades})
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    for name, estimator, encoder in [
        ("columns_logistic", linear_model.LogisticRegression(), preprocessing.OneHotEncoder(handle_unknown="ignore")),
        ("columns_boosting", ensemble.GradientBoostingClassifier(n_estimators=6, random_state=1), preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
        ("columns_ordinal", ensemble.RandomForestRegressor(6, max_depth=4, random_state=1), preprocessing.OrdinalEncoder()),
    ]:
        whole = pipeline.make_pipeline(compose.ColumnTransformer([("n", numbers, ["age", "pay"]), ("c", encoder, ["city"]), ("g", "passthrough", ["grade"])]), estimator)
        whole.fit(frame, MULTI)
        kinds = [("age", FloatTensorType([None, 1])), ("pay", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1])), ("grade", Int64TensorType([None, 1]))]
        model = to_onnx(whole, initial_types=kinds)
        def case(part):
            return {"age": part.age.values.reshape(-1, 1), "pay": part.pay.values.reshape(-1, 1), "city": part.city.to_numpy(object).reshape(-1, 1), "grade": part.grade.values.reshape(-1, 1)}
        cases = [case(frame[:1]), case(frame[:20])]
        if name != "columns_ordinal":
            unseen = frame[:2].copy(); unseen["city"] = ["Atlantis", "Rome"]
            cases.append(case(unseen))
        keep(name, model, cases)


def boosters():
    for name, estimator, target in [
        ("xgb_binary", xgboost.XGBClassifier(n_estimators=8, max_depth=4), BINARY),
        ("xgb_multi", xgboost.XGBClassifier(n_estimators=6, max_depth=3), MULTI),
        ("xgb_regressor", xgboost.XGBRegressor(n_estimators=8, max_depth=4), SCORE),
        ("lgbm_binary", lightgbm.LGBMClassifier(n_estimators=8, num_leaves=8, verbose=-1), BINARY),
        ("lgbm_multi", lightgbm.LGBMClassifier(n_estimators=5, num_leaves=8, verbose=-1), MULTI),
        ("lgbm_regressor", lightgbm.LGBMRegressor(n_estimators=8, num_leaves=8, verbose=-1), SCORE),
    ]:
        try:
            estimator.fit(WITH_GAPS, target)
            convert = convert_xgboost if name.startswith("xgb") else convert_lightgbm
            extra = {} if name.startswith("xgb") else {"zipmap": name == "lgbm_binary"}
            model = convert(estimator, initial_types=[("X", ToolFloat([None, 6]))], target_opset=15, **extra)
            keep(name, model, [{"X": data} for data in rows(X) + strange(X) + [WITH_GAPS[:12]]])
        except Exception as error:
            print(f"{name:28} LEFT OUT: {type(error).__name__}: {str(error)[-150:]}")


def doubles():
    data = X.astype(np.float64)
    for name, estimator, target in [
        ("double_forest", ensemble.RandomForestClassifier(5, max_depth=4, random_state=1), MULTI),
        ("double_logistic", linear_model.LogisticRegression(), MULTI),
        ("double_mlp", neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=60, random_state=1), SCORE),
    ]:
        estimator.fit(data, target)
        keep(name, to_onnx(estimator, initial_types=[("X", DoubleTensorType([None, 6]))], target_opset=OPSETS, options={id(estimator): {"zipmap": False}} if target is MULTI else None), [{"X": d} for d in rows(data)[1:3]])
    whole = (X * 3).astype(np.int64)
    estimator = ensemble.RandomForestClassifier(5, max_depth=4, random_state=1).fit(whole, MULTI)
    keep("integers_forest", to_onnx(estimator, initial_types=[("X", Int64TensorType([None, 6]))]), [{"X": d} for d in rows(whole)[1:3]])


def ensemble_by_hand(random, trees, targets, modes, tracks):
    """Full trees of depth two with the given comparisons, values on a grid so that equality happens."""
    nodes = {key: [] for key in "treeids nodeids featureids values modes truenodeids falsenodeids missing_value_tracks_true".split()}
    leaves = {key: [] for key in "treeids nodeids ids weights".split()}
    for one in range(trees):
        for node in range(7):
            leaf = node > 2
            nodes["treeids"].append(one)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(0 if leaf else int(random.integers(0, 3)))
            nodes["values"].append(0.0 if leaf else float(random.integers(-2, 3)))
            nodes["modes"].append("LEAF" if leaf else modes[int(random.integers(0, len(modes)))])
            nodes["truenodeids"].append(0 if leaf else 2 * node + 1)
            nodes["falsenodeids"].append(0 if leaf else 2 * node + 2)
            nodes["missing_value_tracks_true"].append(int(tracks and not leaf and random.random() < 0.5))
            if leaf:
                for target in targets(random):
                    leaves["treeids"].append(one)
                    leaves["nodeids"].append(node)
                    leaves["ids"].append(target)
                    leaves["weights"].append(float(np.float32(random.normal())))
    return {f"nodes_{key}": value for key, value in nodes.items()}, leaves


def one_node(node, kind, width, outputs, extra=None, opset=3):
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("X", kind, [None, width])], outputs, extra or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", opset), helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


GRID = np.array([[float(v) for v in row] for row in itertools.product([-2, 0, 1], repeat=3)] + [[np.nan] * 3, [np.nan, 0, np.inf], [-np.inf, 1, np.nan]], np.float32)
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]


def by_hand():
    random = np.random.default_rng(11)
    number = 0
    for aggregate, transform, count in itertools.product(["SUM", "AVERAGE", "MIN", "MAX"], TRANSFORMS, [1, 3]):
        if number % 3 and transform != "NONE":
            number += 1
            continue
        number += 1
        base = [] if random.random() < 0.5 else [round(float(v), 3) for v in random.normal(size=count)]
        targets = (lambda r: [0]) if count == 1 else (lambda r: sorted(set(r.integers(0, 3, 2).tolist())))
        modes = MODES if number % 2 else [MODES[number % 6]]
        nodes, leaves = ensemble_by_hand(random, 3, targets, modes, True)
        node = helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", aggregate_function=aggregate,
                                post_transform=transform, n_targets=count, base_values=base or None, **nodes,
                                **{f"target_{key}": value for key, value in leaves.items()})
        model = one_node(node, TensorProto.FLOAT, 3, [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, count])])
        keep(f"hand_{aggregate}_{transform}_{count}".lower(), model, [{"X": GRID}])
    for labels, ids, transform, base, positive in itertools.product([2, 3], ["one", "all"], ["NONE", "LOGISTIC", "SOFTMAX"], [0, 1, 2], [False, True]):
        if labels == 3 and (ids == "one" or base == 1 or positive):
            continue
        if labels == 2 and ids == "all" and positive:
            continue
        base = [] if base == 0 else [0.25] if base == 1 else [0.1, -0.2, 0.3][:labels]
        targets = (lambda r: [labels - 1 if labels == 3 else 0]) if ids == "one" else (lambda r: list(range(labels)))
        nodes, leaves = ensemble_by_hand(random, 3, targets, MODES[:2], False)
        if positive:
            leaves["weights"] = [abs(value) / 3 for value in leaves["weights"]]
        node = helper.make_node("TreeEnsembleClassifier", ["X"], ["L", "P"], domain="ai.onnx.ml", post_transform=transform,
                                classlabels_strings=["a", "b", "c"][:labels], base_values=base or None, **nodes,
                                **{f"class_{key}": value for key, value in leaves.items()})
        model = one_node(node, TensorProto.FLOAT, 3, [helper.make_tensor_value_info("L", TensorProto.STRING, [None]), helper.make_tensor_value_info("P", TensorProto.FLOAT, [None, labels])])
        keep(f"hand_class_{labels}_{ids}_{transform}_{len(base)}_{positive}".lower(), model, [{"X": GRID}])


def version_5():
    """The TreeEnsemble of ai.onnx.ml 5."""
    def number(name, values, kind=np.float32):
        return numpy_helper.from_array(np.array(values, kind), name)
    for aggregate, transform in [(0, 0), (1, 0), (2, 0), (3, 4)]:
        node = helper.make_node(
            "TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=2, aggregate_function=aggregate, post_transform=transform,
            tree_roots=[0, 2], nodes_featureids=[0, 1, 2], nodes_modes=number("m", [0, 4, 2], np.uint8), nodes_splits=number("s", [0.0, 1.0, 0.0]),
            nodes_truenodeids=[1, 0, 2], nodes_trueleafs=[0, 1, 1], nodes_falsenodeids=[1, 2, 3], nodes_falseleafs=[1, 1, 1],
            nodes_missing_value_tracks_true=[0, 1, 0], leaf_targetids=[0, 1, 0, 1], leaf_weights=number("w", [1.5, -2.0, 0.25, 3.0]))
        model = one_node(node, TensorProto.FLOAT, 3, [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 2])], opset=5)
        model.ir_version = 10
        keep(f"five_{aggregate}_{transform}", model, [{"X": GRID}])


def whole(name, nodes, inputs, outputs, weights=()):
    """A model of operators of the standard set."""
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(value, key) for key, value in weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def networks():
    """What only onnxruntime runs: convolutions over small images; and every type there and back."""
    random = np.random.default_rng(5)
    info = helper.make_tensor_value_info
    model = whole(
        "convolution",
        [helper.make_node("Conv", ["X", "kernels", "bias"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]), helper.make_node("Relu", ["c"], ["r"]),
         helper.make_node("GlobalAveragePool", ["r"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
         helper.make_node("Gemm", ["f", "dense"], ["g"]), helper.make_node("Softmax", ["g"], ["Y"])],
        [info("X", TensorProto.FLOAT, ["rows", 3, 16, 16])], [info("Y", TensorProto.FLOAT, ["rows", 4])],
        [("kernels", random.normal(size=(8, 3, 3, 3)).astype(np.float32)), ("bias", random.normal(size=8).astype(np.float32)),
         ("dense", random.normal(size=(8, 4)).astype(np.float32))])
    keep("convolution", model, [{"X": random.normal(size=(count, 3, 16, 16)).astype(np.float32)} for count in (1, 3)])
    def alone(name, model):
        (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
        (HERE / f"{name}.json").write_text("[]\n")

    kinds = "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FLOAT16 BFLOAT16 FLOAT DOUBLE STRING".split()
    model = whole(
        "identities", [helper.make_node("Identity", [f"in_{kind}"], [f"out_{kind}"]) for kind in kinds],
        [info(f"in_{kind}", getattr(TensorProto, kind), ["rows"]) for kind in kinds],
        [info(f"out_{kind}", getattr(TensorProto, kind), ["rows"]) for kind in kinds])
    alone("identities", model)
    # Classes whose order is not that of their names.
    node = helper.make_node("ZipMap", ["X"], ["Y"], domain="ai.onnx.ml", classlabels_strings=["no", "maybe"])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None)))
    alone("classes", one_node(node, TensorProto.FLOAT, 2, [helper.make_value_info("Y", maps)]))
    alone("shapeless", whole("shapeless", [helper.make_node("Identity", ["X"], ["Y"])], [info("X", TensorProto.FLOAT, None)], [info("Y", TensorProto.FLOAT, None)]))
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Abs", ["old"], ["new"])], "body",
        [info("round", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("old", TensorProto.FLOAT, ["rows"])],
        [info("on", TensorProto.BOOL, []), info("new", TensorProto.FLOAT, ["rows"])])
    alone("endless", whole("endless", [helper.make_node("Loop", ["", "", "X"], ["Y"], body=body)], [info("X", TensorProto.FLOAT, ["rows"])], [info("Y", TensorProto.FLOAT, ["rows"])]))


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    plain_attributes()
    sklearn_models()
    columns()
    boosters()
    doubles()
    by_hand()
    version_5()
    networks()

#!/usr/bin/env python3
"""Regenerates kubernetes.json and istio.json from full schema dumps.

usage: vendor.py SOURCE

SOURCE holds kubernetes/openapi-v3-*.json (components of a kube-apiserver's /openapi/v3, with an
`x-roots` map from group/version/Kind to component) and crds/*.json (CustomResourceDefinitions).
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
REF = "#/components/schemas/"
KUBERNETES = [
    "v1/ConfigMap", "v1/Event", "v1/LimitRange", "v1/Namespace", "v1/Node", "v1/Pod", "v1/ResourceQuota",
    "v1/Secret", "v1/Service", "v1/ServiceAccount", "batch/v1/CronJob", "batch/v1/Job",
    "coordination.k8s.io/v1/Lease", "rbac.authorization.k8s.io/v1/ClusterRole",
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding", "rbac.authorization.k8s.io/v1/Role",
    "rbac.authorization.k8s.io/v1/RoleBinding",
]
ISTIO = ["virtualservices.networking.istio.io", "destinationrules.networking.istio.io"]


def references(node):
    """Names of the components that a schema mentions."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value.removeprefix(REF)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def write(name, document):
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    (HERE / name).write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {len(text)} bytes")


def kubernetes(source):
    [path] = source.glob("kubernetes/openapi-v3-*.json")
    dump = json.loads(path.read_text(encoding="utf-8"))
    every, roots = dump["components"]["schemas"], dump["x-roots"]
    missing = [root for root in KUBERNETES if root not in roots]
    if missing:
        print("not in the source, left out:", ", ".join(missing))
    kept, todo = {}, [roots[root].removeprefix(REF) for root in KUBERNETES if root in roots]
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = every[name]
            todo.extend(references(every[name]))
    write("kubernetes.json", {"components": {"schemas": kept}})


def istio(source):
    kinds = {}
    for name in ISTIO:
        spec = json.loads((source / "crds" / f"{name}.json").read_text(encoding="utf-8"))["spec"]
        schemas = []
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            same = next((s for s in schemas if s["schema"] == schema), None)
            if same:
                same["versions"].append(version["name"])
            else:
                schemas.append({"versions": [version["name"]], "schema": schema})
        kinds[spec["names"]["kind"]] = schemas
    write("istio.json", kinds)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    kubernetes(pathlib.Path(sys.argv[1]))
    istio(pathlib.Path(sys.argv[1]))

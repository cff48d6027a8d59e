"""Asks about wines for some seconds, tells what was true, and counts who answered: `python ask.py 60`."""

import collections
import http.client
import itertools
import json
import os
import sys
import time
import urllib.request

from wines import load

SERVER = os.environ.get("MCPLANE_URL", "http://127.0.0.1:5080")
MODELS = os.environ.get("MODELS", "127.0.0.1:5081")

_, _, wines, cultivars = load()
end = time.monotonic() + float(sys.argv[1])
asked, right, labels = collections.Counter(), collections.Counter(), []


def tell():
    body = json.dumps({"labels": labels}).encode()
    url = f"{SERVER}/delivery/v1/namespaces/default/labels"
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})).close()
    labels.clear()


connection = http.client.HTTPConnection(MODELS)
for wine, cultivar in itertools.cycle(zip(wines.tolist(), cultivars.tolist())):
    given = {"name": "X", "datatype": "FP32", "shape": [1, len(wine)], "data": wine}
    connection.request("POST", "/v2/models/wines/infer", json.dumps({"inputs": [given]}))
    answer = connection.getresponse()
    told = json.load(answer)
    assert answer.status == 200, told
    version = answer.getheader("x-mcplane-model")
    asked[version] += 1
    right[version] += told["outputs"][0]["data"][0] == cultivar
    newest = answer.getheader("x-mcplane-prediction-id")
    labels.append({"id": newest, "value": cultivar})
    if len(labels) == 100 or time.monotonic() > end:
        tell()
    if time.monotonic() > end:
        break
    time.sleep(0.005)

for version, count in sorted(asked.items()):
    print(f"{version}: {count} answers, {right[version] / count:.3f} of them right")
print("the last one: prediction", newest)

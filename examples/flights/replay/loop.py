"""What all stages share: the server, the plan, and what was done so far."""

import pathlib
from dataclasses import dataclass

from server import Server
from timeline import Timeline

KINDS = "/apis/mcplane.io/v1alpha1/namespaces/default"
SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices/late-flights"
DATA = "/data/v1/namespaces/default"
DELIVERY = "/delivery/v1/namespaces/default"
MLFLOW = "/api/2.0/mlflow"
EVENTS = "/api/v1/namespaces/default/events"


@dataclass
class Loop:
    server: Server
    timeline: Timeline
    plan: dict
    example: pathlib.Path
    """Where the manifests are."""
    raw: pathlib.Path
    """Where the raw data is."""
    running: str | None = None
    """The run of the pipeline that is on its way."""

    @property
    def work(self) -> pathlib.Path:
        return self.server.data.resolve() / "replay"

    def declare(self, stage: str, names: list) -> None:
        """Applies manifests."""
        if self.timeline.begin(stage):
            for name in names:
                self.server.mcplane("apply", "-f", self.example / f"{name}.yaml")
            kinds = ["datacontracts/flights", "datacontracts/weather", "gates/late-flights", "monitors/late-flights"]
            evidence = [(f"{KINDS}/{kind}", "/metadata/name", kind.split("/")[1]) for kind in kinds]
            self.timeline.add(stage, f"{', '.join(names)}", evidence)

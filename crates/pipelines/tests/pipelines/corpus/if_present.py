"""IfPresent: a default is a value, nothing is not; its branches may be joined texts."""
from typing import Optional

from kfp import dsl
from kfp.dsl import ConcatPlaceholder, Dataset, IfPresentPlaceholder, Input, Output, OutputPath


@dsl.container_component
def choose(out: OutputPath(str), mode: str = 'default', note: Optional[str] = None):
    return dsl.ContainerSpec(
        image='alpine',
        command=['sh', '-ec', 'out="$0"; printf "%s|" "$@" > "$out"', out],
        args=[
            IfPresentPlaceholder(input_name='mode', then=ConcatPlaceholder(['--mode=', mode]), else_='--no-mode'),
            IfPresentPlaceholder(input_name='note', then=['--note', note], else_=['--quiet']),
        ],
    )


@dsl.pipeline(name='if-present')
def pipeline(note: Optional[str] = None):
    choose()
    choose(mode='fast', note='n')
    choose(note=note)

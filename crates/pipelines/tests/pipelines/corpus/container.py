"""Container components: optional arguments, joined texts, paths and files."""
from typing import Optional

from kfp import dsl
from kfp.dsl import ConcatPlaceholder, Dataset, IfPresentPlaceholder, Input, Output, OutputPath


@dsl.container_component
def make(name: str, data: Output[Dataset], length: OutputPath(int), note: Optional[str] = None):
    return dsl.ContainerSpec(
        image='alpine',
        command=['sh', '-ec', 'mkdir -p "$(dirname "$1")"; printf %s "$0" > "$1"; printf %s ${#0} > "$2"'],
        args=[
            ConcatPlaceholder(['<', name, IfPresentPlaceholder(input_name='note', then=note, else_='-'), '>']),
            data.path,
            length,
            IfPresentPlaceholder(input_name='note', then=['--note', note]),
        ],
    )


@dsl.container_component
def use(data: Input[Dataset], count: int, same: OutputPath(str)):
    return dsl.ContainerSpec(
        image='alpine', command=['sh', '-ec', 'cat "$0" > "$1"; printf " %s" "$2" >> "$1"'], args=[data.path, same, count]
    )


@dsl.pipeline(name='container')
def pipeline(name: str = 'a "quoted" name'):
    first = make(name=name)
    use(data=first.outputs['data'], count=first.outputs['length'])
    second = make(name='b', note='it\'s')
    use(data=second.outputs['data'], count=second.outputs['length'])

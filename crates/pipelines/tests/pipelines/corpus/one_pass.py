"""A value that looks like a placeholder stays as it is."""
from kfp import dsl

from components import text


@dsl.pipeline(name='one-pass')
def pipeline(value: str = "{{$}} {{$.inputs.parameters['value']}}"):
    first = text(value=value)
    second = text(value=first.output)
    text(value=f'<{second.output}>')

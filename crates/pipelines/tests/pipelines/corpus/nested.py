"""Pipelines in pipelines, with inputs and outputs of both kinds."""
from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset

from components import add, read, text, write


@dsl.pipeline(name='innermost')
def innermost(x: int) -> int:
    return add(a=x, b=1).output


@dsl.pipeline(name='middle')
def middle(x: int, label: str = 'm') -> NamedTuple('Outputs', [('sum', int), ('data', Dataset)]):
    first = innermost(x=x)
    second = innermost(x=first.output)
    made = write(content=f'{label}{second.output}')
    from collections import namedtuple

    return namedtuple('Outputs', ['sum', 'data'])(second.output, made.outputs['data'])


@dsl.pipeline(name='nested')
def pipeline(x: int = 1) -> int:
    inner = middle(x=x)
    read(data=inner.outputs['data'])
    text(value=f'{inner.outputs["sum"]}')
    return inner.outputs['sum']

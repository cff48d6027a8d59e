"""Channels within texts, lists and objects."""
from kfp import dsl

from components import integer, join, number, show, text


@dsl.pipeline(name='channels')
def pipeline(who: str = 'world', rate: float = 3.0):
    count = integer(value=4)
    half = number(value=0.5)
    text(value=f'hello {who}: {count.output} at {rate}, {half.output}')
    show(value={'count': count.output, 'label': f'c{count.output}', 'rate': rate, 'fixed': 1})
    join(items=[who, count.output, 'end'])

"""Outputs become inputs; integers keep no fraction on the way, in text neither."""
from kfp import dsl

from components import add, text


@dsl.pipeline(name='chain')
def pipeline(a: int = 1, b: int = 2) -> str:
    first = add(a=a, b=b)
    second = add(a=first.output, b=10)
    return text(value=f'sum={second.output}').output

"""A condition in a loop: only some iterations do something."""
from kfp import dsl

from components import integer, text


@dsl.pipeline(name='loop-condition')
def pipeline():
    with dsl.ParallelFor(items=[1, 5, 9]) as item:
        n = integer(value=item)
        with dsl.If(n.output > 3):
            text(value=f'big {n.output}')

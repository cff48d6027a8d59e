"""A loop over the pipeline's parameter, with something from outside the loop."""
from kfp import dsl

from components import add


@dsl.pipeline(name='loop-parameter')
def pipeline(items: list = [1, 2, 3], offset: int = 10):
    with dsl.ParallelFor(items=items) as item:
        add(a=item, b=offset)

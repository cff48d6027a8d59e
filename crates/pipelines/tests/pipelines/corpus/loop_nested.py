"""A loop in a loop; its collected outputs are lists of lists."""
from kfp import dsl

from components import add, join


@dsl.pipeline(name='loop-nested')
def pipeline():
    with dsl.ParallelFor(items=[10, 20]) as outer:
        with dsl.ParallelFor(items=[1, 2, 3]) as inner:
            more = add(a=outer, b=inner)
    join(items=dsl.Collected(more.output))

"""A loop over nothing succeeds and gives an empty list."""
from kfp import dsl

from components import add, join, numbers


@dsl.pipeline(name='loop-empty')
def pipeline():
    made = numbers(count=0)
    with dsl.ParallelFor(items=made.output) as item:
        more = add(a=item, b=1)
    join(items=dsl.Collected(more.output))

"""At most two iterations at a time."""
from kfp import dsl

from components import text


@dsl.pipeline(name='loop-limited')
def pipeline():
    with dsl.ParallelFor(items=['a', 'b', 'c', 'd', 'e'], parallelism=2) as item:
        first = text(value=item)
        text(value=f'{first.output}!')

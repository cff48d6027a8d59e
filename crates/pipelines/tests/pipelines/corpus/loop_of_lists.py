"""A loop over the items of an item."""
from kfp import dsl

from components import text


@dsl.pipeline(name='loop-of-lists')
def pipeline():
    with dsl.ParallelFor(items=[{'p': [1, 2], 'q': 'x'}, {'p': [3], 'q': 'y'}]) as item:
        with dsl.ParallelFor(items=item.p) as part:
            text(value=f'{item.q}{part}')

"""A loop over items in the document."""
from kfp import dsl

from components import text


@dsl.pipeline(name='loop-static')
def pipeline():
    with dsl.ParallelFor(items=['a', 'b', 'c']) as item:
        text(value=item)

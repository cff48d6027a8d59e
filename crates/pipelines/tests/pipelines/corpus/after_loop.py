"""Tasks after all iterations of a loop."""
from kfp import dsl

from components import text


@dsl.pipeline(name='after-loop')
def pipeline():
    with dsl.ParallelFor([1, 2, 3]):
        one = text(value='one')
    text(value='two').after(one)
    text(value='three').after(one)

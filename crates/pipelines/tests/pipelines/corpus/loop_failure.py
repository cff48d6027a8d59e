"""An iteration fails: the others end, the run fails, nothing after the loop starts."""
from kfp import dsl

from components import fail, text


@dsl.pipeline(name='loop-failure')
def pipeline():
    with dsl.ParallelFor(items=['a', 'b', 'c'], parallelism=1) as item:
        broken = fail(message=item)
    text(value='never').after(broken)

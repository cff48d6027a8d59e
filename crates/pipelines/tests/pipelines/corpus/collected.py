"""Fan out over an output, fan in."""
from kfp import dsl

from components import add, numbers, total


@dsl.pipeline(name='collected')
def pipeline(count: int = 4) -> int:
    made = numbers(count=count)
    with dsl.ParallelFor(items=made.output) as item:
        more = add(a=item, b=1)
    return total(items=dsl.Collected(more.output)).output

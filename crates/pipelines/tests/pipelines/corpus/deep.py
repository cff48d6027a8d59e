"""Everything in everything: a pipeline with a condition in a loop, in a condition, in a loop."""
from kfp import dsl

from components import add, integer, total


@dsl.pipeline(name='count-up')
def count_up(limit: int) -> int:
    n = integer(value=limit)
    with dsl.ParallelFor(items=[1, 2]) as step:
        more = add(a=n.output, b=step)
    return total(items=dsl.Collected(more.output)).output


@dsl.pipeline(name='deep')
def pipeline(limits: list = [1, 5]):
    with dsl.ParallelFor(items=limits) as limit:
        n = integer(value=limit)
        with dsl.If(n.output > 3):
            inner = count_up(limit=n.output)
            with dsl.If(inner.output > 12):
                add(a=inner.output, b=100)

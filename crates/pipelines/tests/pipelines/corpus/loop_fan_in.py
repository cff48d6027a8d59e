"""Fan-in within an outer loop, over a pipeline in the inner one; then over everything."""
from typing import List

from kfp import dsl
from kfp.dsl import Dataset

from components import add, numbers, read, read_all, total, write


@dsl.pipeline(name='one')
def one(label: str) -> Dataset:
    return write(content=label).outputs['data']


@dsl.pipeline(name='many')
def many(count: int) -> List[Dataset]:
    outer, inner = numbers(count=count), numbers(count=2)
    with dsl.ParallelFor(outer.output) as x:
        first = write(content=x)
        read(data=first.outputs['data'])
        with dsl.ParallelFor(inner.output) as y:
            made = one(label=y)
            more = add(a=x, b=y)
        read_all(data=dsl.Collected(made.output))
        total(items=dsl.Collected(more.output))
    return dsl.Collected(made.output)


@dsl.pipeline(name='loop-fan-in')
def pipeline():
    read_all(data=many(count=2).output)

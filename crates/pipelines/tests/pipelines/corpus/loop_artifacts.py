"""A loop over artifacts."""
from typing import List

from kfp import dsl
from kfp.dsl import Dataset

from components import read, write


@dsl.pipeline(name='gather')
def gather() -> List[Dataset]:
    with dsl.ParallelFor(items=['a', 'b']) as item:
        made = write(content=item)
    return dsl.Collected(made.outputs['data'])


@dsl.pipeline(name='loop-artifacts')
def pipeline():
    gathered = gather()
    with dsl.ParallelFor(items=gathered.output) as data:
        read(data=data)

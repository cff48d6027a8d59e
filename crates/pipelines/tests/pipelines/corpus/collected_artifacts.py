"""The artifacts of a loop as one list, of nested loops too."""
from kfp import dsl

from components import read_all, write


@dsl.pipeline(name='collected-artifacts')
def pipeline():
    with dsl.ParallelFor(items=['a', 'b']) as outer:
        with dsl.ParallelFor(items=['x', 'y']) as inner:
            made = write(content=f'{outer}{inner}')
    read_all(data=dsl.Collected(made.outputs['data']))

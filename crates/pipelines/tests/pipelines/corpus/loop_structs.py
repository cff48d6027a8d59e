"""Members of items, from the document and from an output."""
from kfp import dsl

from components import pairs, text


@dsl.pipeline(name='loop-structs')
def pipeline():
    with dsl.ParallelFor(items=[{'label': 'a', 'size': 1}, {'label': 'b', 'size': 2}]) as item:
        text(value=item.size)
    made = pairs(count=2)
    with dsl.ParallelFor(items=made.output) as item:
        text(value=item.label)
        text(value=item.size)

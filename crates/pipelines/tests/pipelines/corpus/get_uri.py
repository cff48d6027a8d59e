"""Artifacts elsewhere than provisioned: under the task's root, and at a path of their own."""
from kfp import dsl
from kfp.dsl import Dataset, Output

from components import read


@dsl.component
def place(first: Output[Dataset], second: Output[Dataset]):
    import os

    first.uri = dsl.get_uri('elsewhere')
    second.custom_path = os.path.join(os.path.dirname(first.uri), 'own')
    for one in (first, second):
        os.makedirs(os.path.dirname(one.path), exist_ok=True)
        with open(one.path, 'w') as file:
            file.write(os.path.basename(one.path))


@dsl.pipeline(name='get-uri')
def pipeline():
    made = place()
    read(data=made.outputs['first'])
    read(data=made.outputs['second'])

"""Artifacts, their metadata, and several outputs of one task."""
from kfp import dsl

from components import number, read, text, train, write


@dsl.pipeline(name='artifacts')
def pipeline(content: str = 'hello'):
    made = write(content=content)
    read(data=made.outputs['data'])
    trained = train(rate=0.5)
    number(value=trained.outputs['loss'])
    text(value=f'{trained.outputs["steps"]} steps')

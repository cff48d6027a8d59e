"""Two exit handlers side by side: each exit task is told of its own."""
from kfp import dsl

from components import fail, status_of, text


@dsl.pipeline(name='exit-handlers')
def pipeline():
    with dsl.ExitHandler(exit_task=status_of()):
        fail(message='first')
    with dsl.ExitHandler(exit_task=status_of()):
        text(value='second')

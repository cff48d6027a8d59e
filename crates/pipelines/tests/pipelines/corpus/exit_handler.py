"""An exit task that is told how the body ended."""
from kfp import dsl

from components import status_of, text


@dsl.pipeline(name='exit-handler')
def pipeline():
    cleanup = status_of()
    with dsl.ExitHandler(exit_task=cleanup, name='body'):
        text(value='work')

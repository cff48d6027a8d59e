"""The exit task runs after a failure, and the run fails nonetheless."""
from kfp import dsl

from components import fail, status_of, text


@dsl.pipeline(name='exit-after-failure')
def pipeline():
    cleanup = status_of()
    with dsl.ExitHandler(exit_task=cleanup):
        broken = fail(message='boom')
        text(value=broken.output)
    text(value='beside')

"""After a failure nothing new starts, what runs goes on."""
from kfp import dsl

from components import fail, text


@dsl.pipeline(name='fail-fast')
def pipeline():
    fail(message='boom')
    slow = text(value='slow')
    text(value=slow.output)

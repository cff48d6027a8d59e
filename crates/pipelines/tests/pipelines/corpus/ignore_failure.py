"""A task that runs whatever happened before it, with the default of its input."""
from kfp import dsl

from components import fail, fallible, text


@dsl.pipeline(name='ignore-failure')
def pipeline():
    broken = fail(message='boom')
    still = fallible(value=broken.output).ignore_upstream_failure()
    text(value=still.output)

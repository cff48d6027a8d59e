"""What may be taken from an earlier run: all but one task."""
from kfp import dsl

from components import text


@dsl.pipeline(name='caching')
def pipeline(value: str = 'a'):
    first = text(value=value)
    text(value=first.output)
    text(value=value).set_caching_options(False)
    text(value=value).set_caching_options(True, cache_key='mine')

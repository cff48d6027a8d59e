"""Order without data."""
from kfp import dsl

from components import text


@dsl.pipeline(name='order')
def pipeline():
    first = text(value='1')
    second = text(value='2').after(first)
    text(value='3').after(first, second)

"""dsl.If: one branch runs, one is skipped; numbers, texts and booleans are compared."""
from kfp import dsl

from components import flag, integer, number, text


@dsl.pipeline(name='condition')
def pipeline(color: str = 'red', count: int = 5):
    n = integer(value=count)
    with dsl.If(n.output > 3):
        text(value='more')
    with dsl.If(n.output <= 3):
        text(value='less')
    with dsl.If(color == 'red'):
        text(value=f'red {n.output}')
    half = number(value=0.5)
    with dsl.If(half.output < 1.0):
        text(value='small')
    yes = flag(value=True)
    with dsl.If(yes.output != True):
        text(value='never')

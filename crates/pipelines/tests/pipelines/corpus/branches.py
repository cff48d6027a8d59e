"""If, Elif, Else and the output of whichever ran."""
from kfp import dsl

from components import integer, text


@dsl.pipeline(name='branches')
def pipeline(count: int = 5) -> str:
    n = integer(value=count)
    with dsl.If(n.output > 10):
        many = text(value='many')
    with dsl.Elif(n.output > 3):
        some = text(value='some')
    with dsl.Else():
        few = text(value='few')
    chosen = dsl.OneOf(many.output, some.output, few.output)
    text(value=chosen)
    return chosen

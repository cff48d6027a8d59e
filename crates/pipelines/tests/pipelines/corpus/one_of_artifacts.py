"""The artifact of whichever branch ran."""
from kfp import dsl

from components import flag, read, write


@dsl.pipeline(name='one-of-artifacts')
def pipeline(yes: bool = False):
    coin = flag(value=yes)
    with dsl.If(coin.output == True):
        heads = write(content='heads')
    with dsl.Else():
        tails = write(content='tails')
    read(data=dsl.OneOf(heads.outputs['data'], tails.outputs['data']))

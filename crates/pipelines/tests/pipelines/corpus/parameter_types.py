"""Every type of parameter, through a component and back; numbers in lists and objects too."""
from kfp import dsl

from components import flag, integer, join, number, show, text


@dsl.pipeline(name='parameter-types')
def pipeline(
    s: str = 'it\'s "quoted" {{$}} \\ end',
    i: int = 3,
    f: float = 2.0,
    b: bool = True,
    l: list = [1, 2.0, 'x'],
    d: dict = {'a': 1, 'b': [2.5, {'c': 3}]},
):
    text(value=s)
    integer(value=i)
    number(value=f)
    flag(value=b)
    join(items=l)
    show(value=d)

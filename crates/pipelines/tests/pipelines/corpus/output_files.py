"""Output parameters in files, by type."""
from kfp import dsl
from kfp.dsl import OutputPath

from components import flag, integer, join, number, show, text


@dsl.container_component
def files(
    s: OutputPath(str), i: OutputPath(int), f: OutputPath(float), b: OutputPath(bool), l: OutputPath(list), d: OutputPath(dict)
):
    return dsl.ContainerSpec(
        image='alpine',
        command=[
            'sh',
            '-ec',
            'printf " raw\\n" > "$0"; echo 42 > "$1"; echo 2.50 > "$2"; echo True > "$3"; echo "[1, 2.0]" > "$4"; echo "{\\"a\\": 1.0}" > "$5"',
        ],
        args=[s, i, f, b, l, d],
    )


@dsl.pipeline(name='output-files')
def pipeline():
    made = files()
    text(value=made.outputs['s'])
    integer(value=made.outputs['i'])
    number(value=made.outputs['f'])
    flag(value=made.outputs['b'])
    join(items=made.outputs['l'])
    show(value=made.outputs['d'])

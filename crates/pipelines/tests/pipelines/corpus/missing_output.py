"""A command that ends well without its output fails."""
from kfp import dsl
from kfp.dsl import OutputPath

from components import text


@dsl.container_component
def silent(out: OutputPath(str)):
    return dsl.ContainerSpec(image='alpine', command=['true'], args=[out])


@dsl.pipeline(name='missing-output')
def pipeline():
    text(value=silent().outputs['out'])

"""What tasks ask for, also from parameters, and their environment."""
from kfp import dsl

from components import text


@dsl.pipeline(name='resources')
def pipeline(memory: str = '512Mi'):
    task = text(value='x').set_cpu_request('500m').set_cpu_limit('2').set_memory_limit(memory)
    task.set_env_variable('MODE', 'fast').set_accelerator_type('nvidia.com/gpu').set_accelerator_limit(1)

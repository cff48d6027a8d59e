"""What a run calls itself."""
from kfp import dsl

from components import text


@dsl.pipeline(
    name='constants',
    pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size='1Gi')),
)
def pipeline():
    text(value=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
    text(value=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER)
    text(value=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    text(value=dsl.PIPELINE_TASK_NAME_PLACEHOLDER)
    text(value=f'{dsl.WORKSPACE_PATH_PLACEHOLDER}/file')
    text(value=f'from {dsl.PIPELINE_ROOT_PLACEHOLDER}')

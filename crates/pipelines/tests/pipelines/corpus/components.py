"""Components that the pipelines of this corpus share: small, and the same whether Python or the tests' table runs them."""

from typing import Dict, List, NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output, PipelineTaskFinalStatus


@dsl.component
def text(value: str) -> str:
    return value


@dsl.component
def integer(value: int) -> int:
    assert type(value) is int, repr(value)
    return value


@dsl.component
def number(value: float) -> float:
    return value


@dsl.component
def flag(value: bool) -> bool:
    assert type(value) is bool, repr(value)
    return value


@dsl.component
def add(a: int, b: int) -> int:
    return a + b


@dsl.component
def join(items: list, separator: str = ',') -> str:
    def flat(items):
        for item in items:
            yield from flat(item) if isinstance(item, list) else [item]

    return separator.join(str(item) for item in flat(items))


@dsl.component
def total(items: list) -> int:
    return sum(items)


@dsl.component
def numbers(count: int) -> list:
    return list(range(count))


@dsl.component
def show(value: dict) -> str:
    import json

    return json.dumps(value, sort_keys=True, separators=(',', ':'))


@dsl.component
def pairs(count: int) -> list:
    return [{'label': f'n{i}', 'size': i} for i in range(count)]


@dsl.component
def fail(message: str) -> str:
    raise RuntimeError(message)


@dsl.component
def fallible(value: str = 'fallback') -> str:
    return value


@dsl.component
def optional(text: Optional[str] = None, count: int = 7) -> str:
    return f'{text} {count}'


@dsl.component
def write(content: str, data: Output[Dataset]):
    data.metadata['length'] = len(content)
    with open(data.path, 'w') as file:
        file.write(content)


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.component
def read_all(data: Input[List[Dataset]]) -> str:
    return ','.join(open(one.path).read() for one in data)


@dsl.component
def uri_of(data: Input[Dataset]) -> str:
    return data.uri


@dsl.component
def train(rate: float, model: Output[Model]) -> NamedTuple('Outputs', [('loss', float), ('steps', int)]):
    from collections import namedtuple

    model.metadata['framework'] = 'none'
    with open(model.path, 'w') as file:
        file.write('weights')
    return namedtuple('Outputs', ['loss', 'steps'])(rate / 2, 3)


@dsl.component
def status_of(status: PipelineTaskFinalStatus) -> str:
    assert status.pipeline_job_resource_name, status
    return f'{status.state} {status.pipeline_task_name}'

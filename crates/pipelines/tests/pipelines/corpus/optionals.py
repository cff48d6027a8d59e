"""Defaults and optionals: given, left out, and explicitly nothing, also through a pipeline in a pipeline."""
from typing import Optional

from kfp import dsl

from components import optional


@dsl.pipeline(name='inner')
def inner(text: Optional[str] = None, count: Optional[int] = None) -> str:
    return optional(text=text, count=count).output


@dsl.pipeline(name='optionals')
def pipeline(text: Optional[str] = None, count: int = 5):
    optional()
    optional(text=text, count=count)
    inner()
    inner(text=text)
    inner(text='given', count=count)

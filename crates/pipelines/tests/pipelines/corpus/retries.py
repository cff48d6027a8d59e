"""Retries, with the waits between them."""
from kfp import dsl

from components import fail, text


@dsl.pipeline(name='retries')
def pipeline():
    text(value='once').set_retry(2)
    fail(message='always').set_retry(num_retries=1, backoff_duration='1s', backoff_factor=3, backoff_max_duration='60s')

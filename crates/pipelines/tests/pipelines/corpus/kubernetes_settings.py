"""Secrets and volumes, by name and by parameter."""
from kfp import dsl
from kfp import kubernetes

from components import text


@dsl.pipeline(name='kubernetes-settings')
def pipeline(secret: str = 'from-parameter'):
    task = text(value='x')
    kubernetes.use_secret_as_env(task, secret_name='fixed', secret_key_to_env={'key': 'TOKEN'})
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={'password': 'PASSWORD'})
    kubernetes.add_node_selector(task, label_key='disk', label_value='ssd')

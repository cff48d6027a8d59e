"""The clients in one place: ``from mcplane.client import RegistryClient, TaskClient``."""

from .registry import RegistryClient
from .tasks import TaskClient

__all__ = ["RegistryClient", "TaskClient"]

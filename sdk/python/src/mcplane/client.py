"""The clients in one place: ``from mcplane.client import RegistryClient``."""

from .registry import RegistryClient

__all__ = ["RegistryClient"]

"""Client of mcplane, the Machine Learning Control Plane."""

from .errors import ApiError, McplaneError, Unreachable
from .registry import Comparison, ModelVersion, RegistryClient

__all__ = ["ApiError", "Comparison", "McplaneError", "ModelVersion", "RegistryClient", "Unreachable"]
__version__ = "0.1.0"

"""Client of mcplane, the Machine Learning Control Plane."""

from .archive import ArchiveError
from .attempt import report_progress
from .errors import ApiError, McplaneError, TaskFailed, TaskTimeout, Unreachable
from .handle import TaskHandle, TaskStatus
from .registry import Comparison, ModelVersion, RegistryClient
from .tasks import Concurrency, Retries, Task, TaskClient

__all__ = [
    "ApiError",
    "ArchiveError",
    "Comparison",
    "Concurrency",
    "McplaneError",
    "ModelVersion",
    "RegistryClient",
    "Retries",
    "Task",
    "TaskClient",
    "TaskFailed",
    "TaskHandle",
    "TaskStatus",
    "TaskTimeout",
    "Unreachable",
    "report_progress",
]
__version__ = "0.1.0"

"""What a model was trained with, as far as the running process knows."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any, Dict, Optional

# Import name and distribution of the frameworks that a model may come from, the most telling first.
_FRAMEWORKS = (
    ("torch", "torch"),
    ("tensorflow", "tensorflow"),
    ("xgboost", "xgboost"),
    ("lightgbm", "lightgbm"),
    ("catboost", "catboost"),
    ("sklearn", "scikit-learn"),
)


def capture() -> Dict[str, Any]:
    """Framework, Python, dependencies, commit and image of this process; what is not known is left out."""
    loaded = {name: dist for name, dist in _FRAMEWORKS if name in sys.modules}
    framework = next((f"{dist} {_version(dist)}" for dist in loaded.values() if _version(dist)), None)
    found = {
        "python": platform.python_version(),
        "framework": framework,
        "dependencies": {dist: version for dist in loaded.values() if (version := _version(dist))} or None,
        "commit": _commit(),
        "image": os.environ.get("MCPLANE_IMAGE"),
    }
    return {name: value for name, value in found.items() if value}


def _version(distribution: str) -> Optional[str]:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> Optional[str]:
    told = os.environ.get("MCPLANE_COMMIT") or os.environ.get("GIT_COMMIT")
    if told:
        return told
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None

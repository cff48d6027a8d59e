"""Runs pytest against a server: run.py URL SCRATCH FILE-OR-FOLDER [NAME=VALUE...]"""

import os
import pathlib
import sys

url, scratch, what, *variables = sys.argv[1:]
os.environ.update(
    MCPLANE_URL=url,
    MLFLOW_TRACKING_URI=url,
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="2",
    MLFLOW_ENABLE_ASYNC_TRACE_LOGGING="false",
    GIT_PYTHON_REFRESH="quiet",
    MPLCONFIGDIR=scratch,
    HOME=scratch,
    TMPDIR=scratch,
)
os.environ.update(variable.split("=", 1) for variable in variables)
os.chdir(scratch)

import pytest  # noqa: E402

path = pathlib.Path(what)
files = sorted(str(file) for file in path.glob("*.py")) if path.is_dir() else [what]
cache = "cache_dir=" + os.path.join(scratch, "cache")
sys.exit(pytest.main(["-q", "--color=no", "-W", "ignore", "-o", cache, *files]))

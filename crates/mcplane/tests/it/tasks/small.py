"""The mission's task on a machine with two processors."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from sdk import run_golden  # noqa: E402

from mcplane import TaskClient  # noqa: E402


def test_what_does_not_fit_says_so(tmp_path):
    (tmp_path / "train.py").write_text("print('trained')")
    done = run_golden(tmp_path)
    assert done.returncode == 0, done.stderr
    (handle,) = TaskClient(project="fraud-detection").tasks()
    deadline = time.monotonic() + 10
    while not (status := handle.status()).reason and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (status.phase, status.reason, status.attempt) == ("Pending", "InsufficientCpu", 0), status
    assert handle.cancel().state == "cancelled"

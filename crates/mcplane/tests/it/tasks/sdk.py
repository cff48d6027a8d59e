"""The packages as they are in the repository, for scripts that run beside the tests."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[5]
GOLDEN = ROOT / "crates" / "mcplane" / "tests" / "golden" / "mission" / "training_task.py"
PATHS = [str(ROOT / "sdk" / "python" / "src"), str(ROOT / "sdk" / "python-mcp")]
sys.path[:0] = PATHS


def run_golden(folder):
    """Runs the mission's script as its author would; the import hook is what the second distribution installs."""
    hook = "import mcplane_mcp; mcplane_mcp.install(); import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", hook, str(GOLDEN)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

"""The name ``mcp`` means mcplane only where it is free."""

import importlib.util
import pathlib
import subprocess
import sys
import textwrap

SDK = pathlib.Path(__file__).resolve().parents[2]
INSTALLED = any("site-packages" in str(spec.origin) for spec in [importlib.util.find_spec("mcplane_mcp")] if spec)
# What an installation does: the packages are importable, and the second one's `.pth` file is read.
INSTALL = f"import site; sys.path.append({str(SDK / 'python' / 'src')!r}); site.addsitedir({str(SDK / 'python-mcp')!r})"


def run(code: str, *path: str) -> subprocess.CompletedProcess:
    lines = f"import sys; sys.path[:0] = {list(path)!r}\n{'' if INSTALLED else INSTALL}\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60, check=False)


def test_a_free_name_is_ours():
    done = run("from mcp.client import RegistryClient; import mcplane; print(RegistryClient is mcplane.RegistryClient)")
    assert done.stdout.strip() == "True", done.stderr
    assert "another package" not in done.stderr


def test_another_package_keeps_its_name(tmp_path):
    package = tmp_path / "mcp"
    (package / "client").mkdir(parents=True)
    (package / "__init__.py").write_text("WHO = 'the other'\n")
    (package / "client" / "__init__.py").write_text("ClientSession = object\n")
    done = run("import mcp, mcp.client; print(mcp.WHO, hasattr(mcp.client, 'ClientSession'))", str(tmp_path))
    assert done.stdout.strip() == "the other True", done.stderr
    assert done.stderr.count("another package is installed as 'mcp'") == 1


def test_only_the_known_modules_are_ours():
    done = run("import mcp.server")
    assert "ModuleNotFoundError" in done.stderr

"""An import hook: ``mcp`` means mcplane where no other package has that name."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings

_NAMES = {"mcp": "mcplane", "mcp.client": "mcplane.client"}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked before all others, so that it can tell when it steps aside."""

    _said = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in _NAMES:
            return None
        if fullname == "mcp":
            other = importlib.machinery.PathFinder.find_spec("mcp")
            if other is not None:
                self._step_aside(other)
                return None
        elif not getattr(sys.modules.get("mcp"), "__mcplane__", False):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=fullname == "mcp")

    def _step_aside(self, other):
        if self._said:
            return
        type(self)._said = True
        where = other.origin or ", ".join(other.submodule_search_locations or [])
        warnings.warn(
            f"another package is installed as 'mcp' ({where}), so 'mcp' is that one and not mcplane: "
            "write 'from mcplane.client import RegistryClient'",
            RuntimeWarning,
            stacklevel=2,
        )

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        real = importlib.import_module(_NAMES[module.__name__])
        module.__mcplane__ = True
        module.__doc__ = real.__doc__
        for name in getattr(real, "__all__", ()):
            setattr(module, name, getattr(real, name))
        module.__all__ = list(getattr(real, "__all__", ()))


def install():
    """Adds the hook, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())

"""Compiles every pipeline of this folder with the installed kfp SDK: `python compile.py [NAME…]`.

The YAML is committed, so that the tests need no SDK.
"""

import importlib
import pathlib
import sys

from kfp import compiler

HERE = pathlib.Path(__file__).parent
HELPERS = {'compile', 'components'}

sys.path.insert(0, str(HERE))
names = sys.argv[1:] or sorted(path.stem for path in HERE.glob('*.py') if path.stem not in HELPERS)
for name in names:
    module = importlib.import_module(name)
    compiler.Compiler().compile(module.pipeline, str(HERE / f'{name}.yaml'))
print(len(names), 'compiled')

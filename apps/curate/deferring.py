"""Modules that are imported when they are first used, where whoever imports them names them only in passing."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands for a module; imports it when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system itself looks at
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            raise AttributeError(f"{self.__name__}.{name} is asked for while its import is deferred")
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def deferred(names: Sequence[str]) -> Iterator[None]:
    """Within the block `import NAME as x` of these modules imports nothing yet; modules that are there already stay.

    Args:
        names: Modules, each package before what is in it.
    """
    put = {name: _Deferred(name) for name in names if name not in sys.modules}
    for name, module in put.items():
        module.__path__ = []
        sys.modules[name] = module
        package, _, last = name.rpartition(".")
        if package in put:
            setattr(put[package], last, module)
    try:
        yield
    finally:
        for name, module in put.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

"""Public names that are loaded at first use, so that importing a package stays light."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module-level ``__getattr__`` for *package*.

    Args:
        package: the package's name.
        homes: public name to the submodule that defines it.
    """

    def load(name: str) -> Any:
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        # Found at once from now on.
        setattr(sys.modules[package], name, value)
        return value

    return load

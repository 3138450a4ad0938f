"""Stands between a program and a client: its methods that send are replaced, the rest passes.

The client is left alone. How it is made up is all that is known of it: resources are attributes,
and ``with_raw_response`` leads to the same methods.
"""

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final, Self

_VIEWS: Final = frozenset({"with_raw_response", "with_streaming_response"})
"""The same methods, for an answer that is not parsed yet."""
_COPIES: Final = frozenset({"copy", "with_options"})
"""Methods that return another client, which is to be tapped too."""
_OWN: Final = frozenset({"_tapped", "_methods", "_replace", "_path"})

Replace = Callable[[Callable[..., Any], str], Callable[..., Any]]
"""Gets a method and its path, e.g. ``chat.completions.create``; returns what to call instead."""


class Tap:
    """A client some of whose methods are replaced. It passes for an instance of the client's class.

    Args:
        client: the client, or one of its resources.
        methods: the dotted paths of what is replaced.
        replace: how.
        path: where *client* is; empty for the client itself.
    """

    def __init__(
        self, client: object, methods: frozenset[str], replace: Replace, path: str = ""
    ) -> None:
        self._tapped = client
        self._methods = methods
        self._replace = replace
        self._path = path

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._tapped)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # asked before __init__, by a copy
            raise AttributeError(name)
        found = getattr(self._tapped, name)
        path = f"{self._path}.{name}".lstrip(".")
        plain = ".".join(part for part in path.split(".") if part not in _VIEWS)
        if plain in self._methods:
            return self._replace(found, path)
        if name in _COPIES and not self._path:
            return lambda *args, **kwargs: self._again(found(*args, **kwargs))
        if name in _VIEWS or any(method.startswith(f"{plain}.") for method in self._methods):
            return Tap(found, self._methods, self._replace, path)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._tapped, name, value)

    def __copy__(self) -> "Tap":
        return Tap(copy(self._tapped), self._methods, self._replace, self._path)

    def __repr__(self) -> str:
        return f"<tapped {self._tapped!r}>"

    def __enter__(self) -> Self:
        self._tapped.__enter__()  # type: ignore[attr-defined]
        return self

    def __exit__(self, *error: object) -> Any:
        return self._tapped.__exit__(*error)  # type: ignore[attr-defined]

    async def __aenter__(self) -> Self:
        await self._tapped.__aenter__()  # type: ignore[attr-defined]
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._tapped.__aexit__(*error)  # type: ignore[attr-defined]

    def _again(self, client: object) -> "Tap":
        return Tap(client, self._methods, self._replace)


def tapped_by(tap: object) -> object:
    """Return what a `Tap` stands before; anything else as it is."""
    return tap._tapped if type(tap) is Tap else tap  # noqa: SLF001 - of this module


def named_arguments(
    method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    defaults: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Args:
        method: what is called.
        args: the positional ones.
        kwargs: the named ones.
        defaults: whether those that are left out count with their default.
    """
    if not args and not defaults:
        return dict(kwargs)
    try:
        bound = inspect.signature(method).bind(*args, **kwargs)
    except (TypeError, ValueError):  # of no use to us, and for the method itself to refuse
        return dict(kwargs)
    if defaults:
        bound.apply_defaults()
    return {**bound.arguments, **bound.arguments.get("kwargs", {})}

"""Looks into what a provider's package returns, whatever it is made of. Nothing here raises."""

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from numbers import Integral
from typing import Any, Final, Protocol

from llmcost_plugins.usage import LARGEST_COUNT

_PLAIN: Final = (str, bytes, int, float, list, tuple)
_DIGITS: Final = 12
_SHOWN: Final = 40


class Fields(Protocol):
    """The named parts of an object; a missing one is `None`."""

    def get(self, name: str, /) -> Any:
        """Return a part."""


NOTHING: Final[dict[str, Any]] = {}


class _Outside:
    """The parts of an object of any other kind, which may refuse to be asked."""

    __slots__ = ("_is_mapping", "_part")

    def __init__(self, part: Any) -> None:
        self._part = part
        self._is_mapping = isinstance(part, Mapping)

    def get(self, name: str, /) -> Any:
        try:
            return self._part.get(name) if self._is_mapping else getattr(self._part, name, None)
        except Exception:  # noqa: BLE001 - code of others; the answer has been paid for
            return None


def fields_of(part: object) -> Fields:
    """Return the named parts of a dictionary or of an SDK's object."""
    if type(part) is dict:
        return part
    if part is None or isinstance(part, _PLAIN):
        return NOTHING
    if hasattr(type(part), "__pydantic_validator__"):
        # A missing attribute costs pydantic over a microsecond, and most are missing.
        own: dict[str, Any] = getattr(part, "__dict__", NOTHING)
        extra = getattr(part, "__pydantic_extra__", None)
        private = getattr(part, "__pydantic_private__", None)
        return {**own, **(extra or {}), **(private or {})} if extra or private else own
    return _Outside(part)


def first(part: Fields, *names: str) -> Any:
    """Return the first part of these names that is there; `None` without any."""
    for name in names:
        if (value := part.get(name)) is not None:
            return value
    return None


def lacks(part: Fields, names: frozenset[str]) -> bool:
    """Tell, where that is quick, that none of the parts is there."""
    return type(part) is dict and part.keys().isdisjoint(names)


def items_of(value: object) -> Sequence[Any]:
    """Return the members of a list; of anything else, none."""
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return ()
    try:
        return list(value)
    except Exception:  # noqa: BLE001 - code of others; the answer has been paid for
        return ()


def word(value: object) -> str:
    """Return a text or an enum's text in lower case; empty for anything else."""
    if isinstance(value, Enum):
        value = value.value
    return value[:_SHOWN].strip().lower() if isinstance(value, str) else ""


def is_count(value: object) -> bool:
    """Tell whether a value can be read as a number of things."""
    if type(value) is int:
        return True
    if isinstance(value, str):
        return _is_digits(value)
    return not isinstance(value, bool) and isinstance(value, Integral | float)


def is_said(value: object) -> bool:
    """Tell whether a value says something: SDKs have objects of their own for "not given"."""
    return isinstance(value, Integral | float | str | bytes | list | tuple | dict)


def read_count(value: object) -> tuple[int, bool]:
    """Return the count that a value stands for, and whether it is one as it is.

    Whole floats are. A text of digits is read but is none; what cannot be read counts as 0, what no
    call can use as `LARGEST_COUNT`, a fraction as the next whole number.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return 0, False
        count = math.ceil(value)
        return _bounded(count, as_said=count == value)
    if isinstance(value, str):
        return _bounded(int(value), as_said=False) if _is_digits(value) else (0, False)
    if not isinstance(value, bool) and isinstance(value, Integral):
        return _bounded(int(value), as_said=True)
    return 0, False


def shown(value: object) -> str:
    """Show a value that was reported, briefly, for people."""
    if isinstance(value, int) and not isinstance(value, bool):
        beyond = abs(value) > LARGEST_COUNT**2
        return "a number beyond reason" if beyond else f"{value:d}"
    if isinstance(value, str):
        return repr(value[:_SHOWN])
    return repr(value) if isinstance(value, float | bool) else f"a {type(value).__name__}"


def _is_digits(text: str) -> bool:
    text = text.strip()
    return text.isdecimal() and len(text) <= _DIGITS


def _bounded(count: int, *, as_said: bool) -> tuple[int, bool]:
    if 0 <= count <= LARGEST_COUNT:
        return count, as_said
    return (0 if count < 0 else LARGEST_COUNT), False

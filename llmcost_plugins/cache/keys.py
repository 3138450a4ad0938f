"""From a request to its key: equal requests have one, whatever the order they were written in."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmcost_plugins.cache.entries import FORMAT

_LONG: Final = 4096
"""Texts longer than this, such as images, count by their hash."""


class NoKey(TypeError):  # noqa: N818 - a finding about a request, never leaves an adapter
    """A request has a value without a canonical form, and so cannot be told from others."""


def _no_other_kinds(value: Any) -> Any:
    msg = f"a value of type {type(value).__name__} has no canonical form"
    raise NoKey(msg)


@dataclass(frozen=True, slots=True)
class Canonical:
    """What is in its canonical form already, and counts as it is."""

    form: Any


def canonical(
    value: Any,
    other: Callable[[Any], Any] = _no_other_kinds,
    ids: Mapping[str, int] | None = None,
) -> Any:
    """Return the canonical form of a value: JSON-able, the same for values that mean the same.

    Args:
        value: what a request has.
        other: gives a value of a kind that JSON does not have as one that it has.
        ids: texts that are only names, such as ids of tool calls; they count by their number.

    Raises:
        NoKey: a part of it has no canonical form.
    """
    if value is None or isinstance(value, bool | int | float):
        return _number(value)
    if isinstance(value, str):
        return _text(value, ids)
    if isinstance(value, Mapping):
        named = {_name(key): canonical(part, other, ids) for key, part in value.items()}
        if len(named) < len(value):
            msg = "two keys of one object are written alike"
            raise NoKey(msg)
        return named
    if isinstance(value, list | tuple):
        return [canonical(part, other, ids) for part in value]
    if isinstance(value, bytes | bytearray):
        return {"$bytes": hashlib.sha256(value).hexdigest()}
    return value.form if isinstance(value, Canonical) else canonical(other(value), other, ids)


def request_key(request: Mapping[str, Any], namespace: Any) -> str:
    """Return the SHA-256 over the canonical JSON of a request and its tenant.

    Raises:
        NoKey: see `canonical`.
    """
    try:
        whole = {"format": FORMAT, "namespace": namespace, "request": canonical(request)}
        text = json.dumps(
            whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except RecursionError:
        msg = "it is nested too deeply"
        raise NoKey(msg) from None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(text: str, ids: Mapping[str, int] | None) -> Any:
    if ids and text in ids:
        return {"$id": ids[text]}
    if len(text) <= _LONG:
        return str(text)
    return {"$sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}


def _number(number: Any) -> Any:
    if number is None or isinstance(number, bool):
        return number
    if isinstance(number, float):
        if not math.isfinite(number):
            msg = f"{number} has no canonical form"
            raise NoKey(msg)
        # Clients write 1 and 1.0 alike, and models read them alike.
        return int(number) if number.is_integer() else float(number)
    return int(number)


def _name(key: Any) -> str:
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)  # as JSON has it: `logit_bias` is by number
    if not isinstance(key, str):
        msg = f"a key of type {type(key).__name__} is no text"
        raise NoKey(msg)
    # What starts with one sign is ours: no request can write what stands for a hash.
    return f"${key}" if key.startswith("$") else str(key)

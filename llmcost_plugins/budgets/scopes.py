"""Scopes: what budgets cover.

The grammar of a scope::

    global                     every call
    user:u1                    calls with that label
    user:*                     calls that have the label; each value has a bucket of its own
    model:gpt-4o  provider:*   likewise by the catalog's name of the requested model, by provider
    team:alpha+feature:chat    calls that match all of the parts
    run                        each outermost chain, agent or query run has a bucket of its own
    user:"a; b"                a value in quotes may contain anything but a double quote
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from llmcost_plugins.errors import ConfigurationError

ANY: Final = "*"
_NO_LABELS: Final = frozenset({"global", "run", "block", "tags"})
# Split where another part begins, so that the value a+b@x.com stays whole, and outside of quotes.
_PLUS: Final = re.compile(
    r'\s*\+\s*(?=(?:[^\W\d]\w*\s*:|(?:run|global)\s*(?:\+|$)))(?=(?:[^"]*"[^"]*")*[^"]*$)'
)

_ANOTHER: Final = re.compile(r"=\s*\d[^,]*,\s*[^\W\d]\w*\s*(?:[:+]|$)")


def has_another(scope: str) -> bool:
    """Tell whether what may be a scope looks like an amount, a comma and a second scope."""
    return _ANOTHER.search(scope) is not None


def parse_scope(scope: str) -> tuple[tuple[str, str], ...]:
    """Read a scope as its parts, keys and values, in the order they are written.

    Raises:
        ConfigurationError: it cannot be read.
    """
    parts = tuple(_parse_part(part.strip(), scope) for part in _PLUS.split(scope))
    keys = [key for key, _ in parts]
    if len(set(keys)) < len(keys) or ("global" in keys and len(keys) > 1):
        msg = f"the scope {scope!r} names a key twice, or joins 'global' with another part"
        raise ConfigurationError(msg)
    return parts


def _parse_part(part: str, scope: str) -> tuple[str, str]:
    if part in {"global", "run", "block"}:
        return part, ""
    key, colon, value = (piece.strip() for piece in part.partition(":"))
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    bare = value[1:-1] if quoted else value
    if not colon or not bare or not key.isidentifier() or key in _NO_LABELS:
        msg = f"{part!r} in the scope {scope!r} is not 'global', 'run', 'key:value' or 'key:*'"
        raise ConfigurationError(msg)
    if '"' in bare or not bare.isprintable():
        msg = f"the scope {scope!r} has a stray double quote or an invisible character"
        raise ConfigurationError(msg)
    return key, bare


def write_scope(parts: Iterable[tuple[str, str]]) -> str:
    """Write parts so that they are read back as they are."""
    return "+".join(_write_part(key, value) for key, value in parts)


@lru_cache(maxsize=1024)
def _write_part(key: str, value: str) -> str:
    """Write a part so that it is read back as it is, in quotes where it must be."""
    if not value:
        return key
    bare = f"{key}:{value}"
    if key == "run":  # an id, shown only: the grammar has no value for it
        return bare
    try:
        plain = ";" not in value and not has_another(value)
        kept = plain and parse_scope(bare) == ((key, value),)
    except ConfigurationError:
        kept = False
    return bare if kept else f'{key}:"{value}"'

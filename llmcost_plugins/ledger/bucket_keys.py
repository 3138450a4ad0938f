"""What the keys of buckets and of calls say."""

import re
from typing import Final

from llmcost_plugins.budgets import parse_scope
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger.base import repriced_id

REPRICED_MARK: Final = repriced_id("", "")
"""Stands between the id of a call and the rest of the id of its correction by new prices."""
AFTER_MARK: Final = REPRICED_MARK[:-1] + chr(ord(REPRICED_MARK[-1]) + 1)
"""The first text behind all that begin with the mark: ids between the two are such corrections."""

_FIELD: Final = re.compile(r"(?:[^|\\]|\\.)*")
_ESCAPED: Final = re.compile(r"\\(.)")
_BEFORE_VALUES: Final = 3
"""The fields of a key before its values: the budget's scope, its period and when that began."""


def may_be_dropped(key: str) -> bool:
    """Tell whether a bucket goes when it is not needed any more: that of a block of code."""
    return key.startswith("block|")


def scope_parts(scope: str) -> dict[str, str]:
    """Return the parts of a budget's scope, key to value; nothing of one that has no grammar."""
    try:
        parts = dict(parse_scope(scope))
    except ConfigurationError:
        return {}
    parts.pop("global", None)
    return parts


def match_of(key: str) -> dict[str, str]:
    """Return what a call must have to belong to the bucket of that key, see `Bucket.match`.

    Read from the key, since what is shown as a bucket's scope need not be readable: the values of
    labels, and the ids of runs, may be any text.
    """
    fields = [_ESCAPED.sub(r"\1", field) for field in _split(key)]
    return dict(zip(scope_parts(fields[0]), fields[_BEFORE_VALUES:], strict=False))


def _split(key: str) -> list[str]:
    fields, place = [], 0
    while place <= len(key):
        found = _FIELD.match(key, place)
        assert found is not None  # noqa: S101 - it matches the empty string
        fields.append(found.group())
        place = found.end() + 1
    return fields

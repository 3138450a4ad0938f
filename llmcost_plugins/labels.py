"""Who caused a call: labels in a context variable, merged by nesting."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from llmcost_plugins.errors import ConfigurationError

STANDARD_LABELS: Final = ("user", "team", "feature", "project", "session")
"""The label keys that reports group by without a scan, and that adapters take from metadata."""

RESERVED_KEYS: Final = frozenset({"global", "run", "block", "model", "provider", "tags"})
"""Words of the scope grammar; a label of that name could not be told from them."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels and tags of a call; later ones win, tags add up.

    Attributes:
        values: label key to value, e.g. ``{"user": "u1"}``.
        tags: free words, without order or repetition.
    """

    values: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    tags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((frozenset(self.values.items()), self.tags))

    def merged(self, other: "Labels") -> "Labels":
        """Return these labels overridden by *other*'s, with the tags of both."""
        if not other.values and not other.tags:
            return self
        if not self.values and not self.tags:
            return other
        tags = tuple(dict.fromkeys((*self.tags, *other.tags)))
        return Labels(MappingProxyType({**self.values, **other.values}), tags)


def make_labels(values: Mapping[str, object], tags: Iterable[str] = ()) -> Labels:
    """Build labels from a caller's values, without those that are `None`.

    Raises:
        ConfigurationError: a key is not an identifier or is reserved, a value is not a string or
            an integer, is empty, or contains a control character; or *tags* is a string, or one
            of them is not a word.
    """
    checked = {key: _checked(key, value) for key, value in values.items() if value is not None}
    if isinstance(tags, str):
        msg = f"tags={tags!r} is a string; pass a list of words: tags=[{tags!r}]"
        raise ConfigurationError(msg)
    words = tuple(tags)
    for word in words:
        if not _is_line(word):
            msg = f"the tag {word!r} cannot be used; a tag is a word such as 'exp-1'"
            raise ConfigurationError(msg)
    return Labels(MappingProxyType(checked), tuple(dict.fromkeys(words)))


def _checked(key: str, value: object) -> str:
    if not key.isidentifier() or key in RESERVED_KEYS:
        reason = "is a word of the scope grammar" if key in RESERVED_KEYS else "is no identifier"
        msg = f"label key {key!r} {reason}; use a name such as 'user', 'team' or 'feature'"
        raise ConfigurationError(msg)
    if isinstance(value, bool) or not isinstance(value, str | int):
        msg = f"label {key!r} is {value!r}; a label's value is a string or an integer"
        raise ConfigurationError(msg)
    text = str(value)
    if not _is_line(text):
        msg = f"label {key!r} is {text!r}; a label's value is one line of visible text"
        raise ConfigurationError(msg)
    return text


def _is_line(text: object) -> bool:
    return isinstance(text, str) and text != "" and text.isprintable()


def take_labels(
    keys: Collection[str], metadata: Mapping[str, object], tags: Iterable[str]
) -> Labels:
    """Pick the labels out of a framework's metadata.

    Values that are no label (nested objects, empty strings) are left out, since metadata is shared
    with other tools. Nothing else is stored: metadata often holds prompts.

    Args:
        keys: what to take, see `CostTracker.label_keys`; and, for any other, ``llmcost_<key>``.
        metadata: the framework's.
        tags: words for the call.
    """
    values: dict[str, object] = {}
    for key, value in metadata.items():
        name = key.removeprefix("llmcost_")
        if name in keys or name != key:
            values[name] = value
    usable = {k: v for k, v in values.items() if _is_label(k, v)}
    return make_labels(usable, [tag for tag in tags if _is_line(tag)])


def _is_label(key: str, value: object) -> bool:
    try:
        make_labels({key: value})
    except ConfigurationError:
        return False
    return True


_current: ContextVar[Labels] = ContextVar("llmcost_labels", default=Labels())  # noqa: B039 - frozen


def current_labels() -> Labels:
    """Return the labels in force here, as set by the enclosing `attribute` blocks."""
    return _current.get()


@contextmanager
def attribute(*, tags: Iterable[str] = (), **labels: str | int | None) -> Iterator[Labels]:
    """Charge every call inside the block to these labels.

    Blocks nest: inner labels win over outer ones, tags add up. Works in sync and async code alike,
    because labels live in a context variable; a plain `threading.Thread` starts without them.

    Raises:
        ConfigurationError: see `make_labels`.
    """
    merged = _current.get().merged(make_labels(labels, tags))
    token = _current.set(merged)
    try:
        yield merged
    finally:
        _current.reset(token)

"""Reads a stream of events as one answer: how much of it has arrived, and what it reports.

Knows the events of OpenAI's chat completions and responses, of Anthropic's messages, and of the
helpers of both SDKs, which tell of the same event in several forms; each is counted once.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from llmcost_plugins.reported import read_usage
from llmcost_plugins.reported.fields import Fields, fields_of, items_of
from llmcost_plugins.usage import Usage

_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_STARTS: Final = frozenset({"message_start", "response.created"})
_FIRST: Final = "message_start"
_PARTS: Final = frozenset({_FIRST, "message_delta"})
_FINAL: Final = ("choices", "output", "content")
"""Where answers keep what was said."""


class Events:
    """What is known of an answer from the events received so far. Nothing here raises.

    Attributes:
        served: the name of the model, as the provider gives it; empty so far.
        lacks_end: whether what was reported is that of the prompt only, as at the start of
            Anthropic's messages.
    """

    __slots__ = ("_report", "_usage", "lacks_end", "served")

    def __init__(self) -> None:
        self.served = ""
        self.lacks_end = False
        self._report: Any = None
        self._usage: dict[str, Any] = {}

    def add(self, event: object) -> int:
        """Take in an event; return the UTF-8 bytes that it adds to the answer."""
        if isinstance(event, str):
            return _size(event)
        fields = fields_of(event)
        kind = fields.get("type")
        if kind == "chunk":  # OpenAI's helper, which tells of the same once more in other events
            fields = fields_of(fields.get("chunk"))
            kind = None
        self._note(fields, kind)
        return sum(_size(text) for text in _texts(fields, kind))

    def usage_of(self, provider: str | None) -> Usage | None:
        """Return the usage that was reported; `None` when none was."""
        if self._usage:
            return read_usage({**self._report, "usage": self._usage}, provider=provider)
        return None if self._report is None else read_usage(self._report, provider=provider)

    def _note(self, fields: Fields, kind: object) -> None:
        if kind in _PARTS:
            self._note_part(fields)
            self.lacks_end = kind == _FIRST
            return
        answer = fields_of(fields.get("response")) if kind in _LAST | _STARTS else fields
        if not self.served and isinstance(name := answer.get("model"), str):
            self.served = name
        if answer.get("usage") is not None or fields.get("x_groq") is not None:
            self._report = answer

    def _note_part(self, fields: Fields) -> None:
        """Put together what Anthropic reports at the start and what it reports at the end."""
        message = fields_of(fields.get("message"))
        if isinstance(name := message.get("model"), str):
            self.served = name
            self._report = {"model": name}
        report = fields.get("usage") or message.get("usage")
        said = fields_of(report)
        own = said if isinstance(said, Mapping) else {}
        self._usage.update({name: value for name, value in own.items() if value is not None})
        self._report = self._report or {}


def is_usage_alone(event: object) -> bool:
    """Tell whether a chunk of OpenAI's holds nothing but the usage that was asked for."""
    fields = fields_of(event)
    if fields.get("type") == "chunk":
        fields = fields_of(fields.get("chunk"))
    choices = fields.get("choices")
    return fields.get("usage") is not None and isinstance(choices, list) and not choices


def answer_bytes(answer: object) -> int:
    """Return the UTF-8 bytes of the texts in a whole answer; 0 where it has none that we know."""
    if isinstance(answer, str):
        return _size(answer)
    fields = fields_of(answer)
    return sum(_size(text) for name in _FINAL for text in _all_texts(fields.get(name)))


def _texts(fields: Fields, kind: object) -> Iterator[str]:
    delta = fields.get("delta")
    if isinstance(delta, str):
        if isinstance(kind, str) and kind.startswith("response."):
            yield delta
    elif delta is not None:
        yield from _all_texts(delta)
    for choice in items_of(fields.get("choices")):
        yield from _all_texts(fields_of(choice).get("delta"))


def _all_texts(value: object, depth: int = 8) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _all_texts(item, depth)
    elif value is not None and depth:
        found = fields_of(value)
        for name, part in found.items() if isinstance(found, Mapping) else ():
            if name not in {"type", "role", "id"}:
                yield from _all_texts(part, depth - 1)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))

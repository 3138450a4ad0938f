"""From what a provider's client returned or raised to the end of a call. Nothing here raises."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from llmcost_plugins import reported, texts
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.reported.events import Events, answer_bytes
from llmcost_plugins.reported.fields import fields_of
from llmcost_plugins.streams import Streamed
from llmcost_plugins.texts import Texts
from llmcost_plugins.usage import Usage

_log: Final = logging.getLogger("llmcost_plugins")
_ANSWERED: Final = frozenset(
    {"ContentFilterFinishReasonError", "LengthFinishReasonError", "ValidationError"}
)
"""Errors of an SDK about an answer which it has received, and which is paid for.

They have no HTTP status, which is what `may_be_billed` goes by.
"""
_UNKNOWN: Final = 2**31
"""Tokens of a stream without a hold, which cannot be extended."""


@dataclass(slots=True, eq=False)
class Recording:
    """A call under way.

    Attributes:
        opened: its hold; `None` when nothing could be said of the call before it was made.
        open_late: opens such a call once its model is known.
        sent: what it embeds, where it does.
        provider: whose report it will be.
    """

    opened: OpenCall | None
    open_late: Callable[[str], OpenCall]
    sent: Texts | None = None
    provider: str | None = None

    def streamed(self) -> Streamed:
        """Return what counts the chunks of a streamed answer."""
        return Streamed(_UNKNOWN) if self.opened is None else self.opened.streamed()

    def answered(self, answer: object) -> None:
        """End the call with a whole answer."""
        if self.opened is not None and self.sent is not None:
            texts.settle(self.opened, answer, self.sent)
            return
        try:
            usage = reported.read_usage(answer, provider=self.provider)
            served, size = reported.read_served_model(answer), answer_bytes(answer)
            if self.opened is not None and usage is not None and _from_cache(answer):
                self.opened.cached(usage, served)
                return
        except Exception:  # noqa: BLE001 - an unforeseen shape must not cost the answer
            self.unread("the usage")
            usage, served, size = None, None, 0
        self.finish(usage, served, size)

    def finish(self, usage: Usage | None, served: str | None, received: int) -> None:
        """End the call as answered, with what was reported or else an estimate."""
        opened = self._opened(usage, served)
        if opened is not None:
            opened.finish(usage or opened.estimated_usage(received or None), served)

    def streamed_until(self, error: BaseException, events: Events, received: int) -> None:
        """End the call whose stream was broken off, by either side."""
        try:
            usage = events.usage_of(self.provider)
        except Exception:  # noqa: BLE001 - see answered
            self.unread("the partial usage")
            usage = None
        served = events.served or None
        opened = self._opened(usage, served)
        if opened is None:
            return
        if usage is not None and events.lacks_end:
            guessed = opened.estimated_usage(received or None)
            usage = replace(usage, output=guessed.output, trust=guessed.trust)
        opened.broke(error, received_bytes=received, usage=usage, served=served)

    def failed(self, error: BaseException) -> None:
        """End the call that raised before there was an answer, or because of one."""
        if self.opened is None:
            return
        if self.sent is not None:
            texts.settle_failure(self.opened, error)
            return
        answer: Any = getattr(error, "completion", None)
        usage = None if answer is None else reported.read_usage(answer, provider=self.provider)
        if usage is None and any(kind.__name__ in _ANSWERED for kind in type(error).__mro__):
            usage = self.opened.estimated_usage(None)
        served = None if answer is None else reported.read_served_model(answer)
        self.opened.broke(error, received_bytes=0, usage=usage, served=served)

    def unread(self, what: str) -> None:
        """Log and count that *what* of the call could not be read; in an `except` block."""
        if self.opened is None:
            _log.exception("%s of a call could not be read", what)
        else:
            self.opened.note_failure(what)

    def _opened(self, usage: Usage | None, served: str | None) -> OpenCall | None:
        if self.opened is not None:
            return self.opened
        if usage is None:
            _log.warning(
                "a call was not recorded: neither its arguments nor its answer say what it used; "
                "give @track_cost an estimate=, or let it return the provider's answer"
            )
            return None
        try:
            self.opened = self.open_late(served or "unknown")
        except Exception:  # noqa: BLE001 - see answered
            _log.exception("a call to %r could not be recorded", served)
        return self.opened


def _from_cache(answer: object) -> bool:
    """Tell whether LiteLLM has answered from its cache."""
    return fields_of(fields_of(answer).get("_hidden_params")).get("cache_hit") is True

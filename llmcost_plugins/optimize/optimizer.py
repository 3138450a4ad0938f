"""`TokenOptimizer`: the steps put together, until there is nothing left to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.optimize.counting import ESTIMATE, TokenCounter, tokenizer_of
from llmcost_plugins.optimize.duplicates import Seen
from llmcost_plugins.optimize.history import trimmed
from llmcost_plugins.optimize.saving import Saving, saved_usd
from llmcost_plugins.optimize.shapes import Change, one_by_one, read_message, write_message
from llmcost_plugins.optimize.truncating import SHORTEST_LIMIT, truncated
from llmcost_plugins.optimize.turns import Turn
from llmcost_plugins.optimize.whitespace import normalised
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.pricing.catalog import shared_catalog

MEDIUM_TOKENS: Final = 1_000
"""What an image, a recording or a file counts with; no more than a guess."""
_SHORTEST_CUT: Final = 64


@dataclass(frozen=True, slots=True)
class Optimized:
    """Messages for the model, and what that saves.

    Attributes:
        messages: the messages; those that are unchanged are the same objects.
        saving: what is saved.
    """

    messages: list[Any]
    saving: Saving


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of each message.

    Attributes:
        kept: the places of the messages that stay.
        turns: these messages, with their texts as they are to be.
        saving: what is saved.
    """

    kept: tuple[int, ...]
    turns: tuple[Turn, ...]
    saving: Saving


@dataclass(slots=True)
class _Work:
    """A prompt on its way."""

    kept: list[int]
    turns: list[Turn]
    repeated: int = 0
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class TokenOptimizer:
    """Makes prompts shorter, and says what that saves.

    What the model has said, tool calls, images and other media pass unchanged; so do blocks of
    code, tables and lines with strings of JSON, unless they are left out as a whole. To optimize
    twice changes nothing, and nothing grows. Takes linear time.

    Attributes:
        model: the model, for its tokenizer and its price.
        provider: its provider, where the name does not say.
        max_tokens: the room for all messages, the tools' descriptions apart: older messages go
            first, then the middles of long texts; `None` for any length.
        max_text_tokens: the longest text of a user or a tool; `None` for any.
        keep_last: how many of the newest messages stay in any case.
        whitespace: whether runs of spaces and of blank lines become one.
        duplicates: whether a paragraph that stands before is left out.
        catalog: the prices; by default those shared by the process.

    Raises:
        ConfigurationError: a number cannot be used.
    """

    model: str
    provider: str | None = None
    max_tokens: int | None = None
    max_text_tokens: int | None = None
    keep_last: int = 2
    whitespace: bool = True
    duplicates: bool = True
    catalog: Catalog | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.model or not isinstance(self.model, str):
            msg = f"model={self.model!r} is no name; e.g. model='gpt-4o-mini'"
            raise ConfigurationError(msg)
        for key in ("max_tokens", "max_text_tokens"):
            value = getattr(self, key)
            if value is not None and (type(value) is not int or value < SHORTEST_LIMIT):
                msg = f"{key}={value!r} is no number of at least {SHORTEST_LIMIT}; e.g. {key}=8000"
                raise ConfigurationError(msg)
        if type(self.keep_last) is not int or self.keep_last < 1:
            msg = f"keep_last={self.keep_last!r} is no number of at least 1; e.g. keep_last=4"
            raise ConfigurationError(msg)

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> Optimized:
        """Optimize messages as OpenAI's or Anthropic's client takes them, which stay as they are.

        Raises:
            ConfigurationError: one of them is no message.
        """
        plan = self.plan([read_message(one, place) for place, one in enumerate(messages)])
        made = []
        for place, turn in zip(plan.kept, plan.turns, strict=True):
            made.append(write_message(messages[place], one_by_one(turn.texts)))
        return Optimized(made, plan.saving)

    def text(self, text: str) -> tuple[str, Saving]:
        """Optimize one text, such as a prompt or a system message."""
        plan = self.plan([Turn("user", (text,))])
        return plan.turns[0].texts[0], plan.saving

    def plan(self, turns: Sequence[Turn]) -> Plan:
        """Say what becomes of messages; for adapters."""
        tokenizer = tokenizer_of(self.model)
        count = TokenCounter(tokenizer)
        work = _Work(list(range(len(turns))), list(turns))
        before = sum(_size(turn, count) for turn in turns)
        # What one step leaves can be work for another; each makes it shorter, so there is an end.
        while True:
            former = list(work.turns)
            self._step(work, count)
            if work.turns == former:
                break
        after = sum(_size(turn, count) for turn in work.turns)
        catalog = self.catalog or shared_catalog()
        found = catalog.resolve(self.model, self.provider)
        saving = Saving(
            tokens_before=before,
            tokens_after=after,
            saved_usd=saved_usd(found.prices, before, after),
            estimated=tokenizer is None
            or not found.match.is_certain
            or any(turn.media for turn in turns),
            counted_by=ESTIMATE if tokenizer is None else tokenizer.name,
            dropped=len(turns) - len(work.turns),
            repeated=work.repeated,
            truncated=work.truncated,
            fits=self.max_tokens is None or after <= self.max_tokens,
        )
        return Plan(tuple(work.kept), tuple(work.turns), saving)

    def _step(self, work: _Work, count: TokenCounter) -> None:
        if self.whitespace:
            work.turns = [_changed(turn, normalised, count) for turn in work.turns]
        shorter, repeated = self._without_repeated(work.turns, count)
        if self.max_tokens is not None and _sum(shorter, count) > self.max_tokens:
            # Nothing that stays may point to what goes: seen is only what stays.
            sizes = [_size(turn, count) for turn in work.turns]
            stay = trimmed(work.turns, sizes, self.max_tokens, self.keep_last)
            work.kept = [work.kept[at] for at in stay]
            shorter, repeated = self._without_repeated([work.turns[at] for at in stay], count)
        work.turns = shorter
        work.repeated += repeated
        if self.max_text_tokens is not None:
            for at in range(len(work.turns)):
                self._truncate(work, at, self.max_text_tokens, count)
        if self.max_tokens is not None:
            self._make_fit(work, self.max_tokens, count)

    def _without_repeated(
        self, turns: Sequence[Turn], count: TokenCounter
    ) -> tuple[list[Turn], int]:
        if not self.duplicates:
            return list(turns), 0
        seen = Seen()
        changes = [partial(seen.without, keeps_last=turn.role == "user") for turn in turns]
        made = [_changed(turn, change, count) for turn, change in zip(turns, changes, strict=True)]
        return made, seen.repeated

    def _make_fit(self, work: _Work, max_tokens: int, count: TokenCounter) -> None:
        excess = _sum(work.turns, count) - max_tokens
        for at, turn in enumerate(work.turns):
            if excess <= 0:
                return
            longest = max((count(text) for text in turn.texts), default=0)
            limit = max(longest - excess, _SHORTEST_CUT)
            before = _size(turn, count)
            self._truncate(work, at, limit, count)
            excess -= before - _size(work.turns[at], count)

    @staticmethod
    def _truncate(work: _Work, at: int, limit: int, count: TokenCounter) -> None:
        turn = work.turns[at]
        if turn.role == "system":
            return
        made = _changed(turn, lambda text: truncated(text, limit, count), count)
        changed = sum(new != old for new, old in zip(made.texts, turn.texts, strict=True))
        work.truncated += changed
        work.turns[at] = made


def _changed(turn: Turn, change: Change, count: TokenCounter) -> Turn:
    texts = []
    for text in turn.texts:
        new = change(text)
        grows = count(new) > count(text) or len(new.encode("utf-8", "surrogatepass")) > len(
            text.encode("utf-8", "surrogatepass")
        )
        texts.append(text if grows else new)
    return replace(turn, texts=tuple(texts)) if tuple(texts) != turn.texts else turn


def _size(turn: Turn, count: TokenCounter) -> int:
    return sum(map(count, (*turn.texts, *turn.rest))) + turn.media * MEDIUM_TOKENS


def _sum(turns: Sequence[Turn], count: TokenCounter) -> int:
    return sum(_size(turn, count) for turn in turns)

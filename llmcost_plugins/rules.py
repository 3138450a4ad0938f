"""`Rule`: which models are asked for requests of one kind."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from llmcost_plugins.budgets import parse_scope
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.pricing.abilities import make_needs
from llmcost_plugins.standing import Left

TASK: Final = "task"
"""The label that says of what kind a request is."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a policy knows of a request.

    Attributes:
        labels: who causes it, and of what kind it is (``task``).
        prompt_tokens: about how many tokens the prompt has.
        needs: what a model must be able to do for it, some of `ABILITIES`.
        left: tells what is left of each budget that a call to one of the models would count in;
            asks the ledger.
    """

    labels: Labels = field(default_factory=Labels)
    prompt_tokens: int = 0
    needs: frozenset[str] = frozenset()
    left: Callable[[], Sequence[Left]] = tuple


@dataclass(frozen=True, slots=True)
class Rule:
    """Names the models for requests of one kind; the other models follow them on the ladder.

    It covers a request that meets all that it states.

    Attributes:
        models: names of the models, the preferred one first.
        labels: what the request must be labelled with, e.g. ``{"feature": "triage"}``.
        max_prompt_tokens: the longest prompt that it covers, in tokens.
        min_prompt_tokens: the shortest one.
        tasks: what the request's label ``task`` may be; none: anything.
        needs: what the request must ask of a model, some of `ABILITIES`, e.g. ``["images"]``.
        min_budget_left: the part of a budget that must be left at least, e.g. ``0.5``. Money held
            for calls in flight is not left. Where no budget applies, all is left.
        max_budget_left: the part that may be left at most, e.g. ``0.2``.
        budget: the scope of the budget that is looked at, e.g. ``team:alpha`` or ``user:*``; by
            default that of all which cover the request, of which the least is left.
        name: what it is called in reasons and errors; by default its first model.

    Raises:
        ConfigurationError: no model is named, or a condition cannot be met by any request.
    """

    models: Sequence[str]
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    max_prompt_tokens: int | None = None
    min_prompt_tokens: int = 0
    tasks: Sequence[str] = ()
    needs: Collection[str] = ()
    min_budget_left: Decimal | str | float = 0
    max_budget_left: Decimal | str | float = 1
    budget: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not _are_words(self.models) or not self.models:
            msg = f"a rule names models, not {self.models!r}; e.g. Rule(models=['gpt-4o-mini'])"
            raise ConfigurationError(msg)
        _check_mapping(self.labels)
        make_labels(self.labels)
        self._check_lengths()
        if not _are_words(self.tasks):
            msg = f"tasks={self.tasks!r} is no list of words; e.g. tasks=['classification']"
            raise ConfigurationError(msg)
        make_needs(self.needs)
        self._check_parts()
        for key, value in (("budget", self.budget), ("name", self.name)):
            _check_text(key, value)
        if self.budget:
            parse_scope(self.budget)

    def _check_lengths(self) -> None:
        shortest, longest = self.min_prompt_tokens, self.max_prompt_tokens
        for key, value in (("min_prompt_tokens", shortest), ("max_prompt_tokens", longest)):
            if value is not None and (type(value) is not int or value < 0):
                msg = f"{key}={value!r} is no number of tokens; e.g. {key}=2000"
                raise ConfigurationError(msg)
        if longest is not None and shortest > longest:
            msg = (
                f"min_prompt_tokens={shortest} is more than max_prompt_tokens={longest}, so the "
                f"rule would cover nothing; e.g. min_prompt_tokens=0, max_prompt_tokens={shortest}"
            )
            raise ConfigurationError(msg)

    def _check_parts(self) -> None:
        least = _part("min_budget_left", self.min_budget_left)
        most = _part("max_budget_left", self.max_budget_left)
        if least > most:
            msg = (
                f"min_budget_left={least} is more than max_budget_left={most}, so the rule would "
                f"cover nothing; e.g. max_budget_left=0.2 alone"
            )
            raise ConfigurationError(msg)
        if self.budget and least == 0 and most == 1:
            msg = (
                f"budget={self.budget!r} says where to look, not for how much; add e.g. "
                f"max_budget_left=0.2"
            )
            raise ConfigurationError(msg)

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.models[0]

    def covers(self, request: Request) -> bool:
        """Tell whether a request is of the kind that this rule is about."""
        longest, labels = self.max_prompt_tokens, request.labels.values
        return (
            self.min_prompt_tokens <= request.prompt_tokens
            and (longest is None or request.prompt_tokens <= longest)
            and all(labels.get(key) == value for key, value in self.labels.items())
            and (not self.tasks or labels.get(TASK) in self.tasks)
            and request.needs.issuperset(self.needs)
            and self._has_left(request)
        )

    def conditions(self) -> str:
        """Return what it asks of a request, for people."""
        stated = [
            f"{one.name}={_shown(getattr(self, one.name))}"
            for one in fields(self)
            if one.name not in {"models", "name"} and getattr(self, one.name) != _DEFAULTS[one.name]
        ]
        return ", ".join(stated) or "any request"

    def _has_left(self, request: Request) -> bool:
        # In this order: the ledger is asked by those rules only that want to know.
        least = _part("min_budget_left", self.min_budget_left)
        most = _part("max_budget_left", self.max_budget_left)
        if least == 0 and most == 1:
            return True
        parts = [
            left.part
            for left in request.left()
            if not self.budget or self.budget in {left.budget, left.scope}
        ]
        return least <= min(parts, default=1) <= most


_DEFAULTS: Final[Mapping[str, object]] = {
    "labels": {},
    "max_prompt_tokens": None,
    "min_prompt_tokens": 0,
    "tasks": (),
    "needs": (),
    "min_budget_left": 0,
    "max_budget_left": 1,
    "budget": "",
}


def _are_words(value: object) -> bool:
    if not isinstance(value, Collection) or isinstance(value, str | bytes | Mapping):
        return False
    return all(isinstance(word, str) and word for word in value)


def _check_mapping(labels: object) -> None:
    if not isinstance(labels, Mapping):
        msg = f"labels={labels!r} are no labels; e.g. labels={{'feature': 'triage'}}"
        raise ConfigurationError(msg)


def _check_text(key: str, value: object) -> None:
    if not isinstance(value, str):
        msg = f"{key}={value!r} is no text; e.g. {key}='team:alpha'"
        raise ConfigurationError(msg)


def _part(key: str, stated: Decimal | str | float) -> Decimal:
    try:
        value = Decimal(repr(stated) if isinstance(stated, float) else str(stated))
    except ArithmeticError:
        value = Decimal("NaN")
    if isinstance(stated, bool) or value.is_nan() or not 0 <= value <= 1:
        msg = f"{key}={stated!r} is no part of a budget; it must be between 0 and 1, e.g. {key}=0.2"
        raise ConfigurationError(msg)
    return value


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "+".join(f"{key}:{one}" for key, one in value.items())
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Collection) and not isinstance(value, str):
        return "|".join(map(str, value))
    return str(value)

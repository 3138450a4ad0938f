"""Which model a router asks first: by the ladder, by the cost of this request, or by rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.labels import Labels, make_labels


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of a router, and what it would cost to ask it.

    Attributes:
        index: its place on the ladder.
        model: its name as the framework reports it.
        expected: what this request is expected to cost there, in nano-dollars; `None` without a
            price.
        prompt_tokens: about how many tokens the prompt has.
    """

    index: int
    model: str
    expected: int | None
    prompt_tokens: int


Policy = Callable[[Sequence[Candidate], Labels], Sequence[int]]
"""Puts the candidates for one request, whose labels it gets, into the order in which to ask them.
Returns indexes; candidates that are left out come last, in the order of the ladder."""


def cheapest(candidates: Sequence[Candidate], _: Labels) -> list[int]:
    """Order by what this very request is expected to cost; models without a price come last."""
    known = [one for one in candidates if one.expected is not None]
    return [one.index for one in sorted(known, key=lambda one: (one.expected or 0, one.index))]


@dataclass(frozen=True, slots=True)
class Rule:
    """Names the models for requests of one kind; the other models follow them on the ladder.

    Attributes:
        models: names of the router's models, the preferred one first.
        labels: what the request must be labelled with, e.g. ``{"feature": "triage"}``.
        max_prompt_tokens: the longest prompt that it covers, in tokens.
        min_prompt_tokens: the shortest one.

    Raises:
        ConfigurationError: a label cannot be used, or no model is named.
    """

    models: Sequence[str]
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    max_prompt_tokens: int | None = None
    min_prompt_tokens: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.models, str) or not self.models:
            msg = f"a rule names models, not {self.models!r}; e.g. Rule(models=['gpt-4o-mini'])"
            raise ConfigurationError(msg)
        make_labels(self.labels)

    def covers(self, labels: Labels, prompt_tokens: int) -> bool:
        """Tell whether a request is of the kind that this rule is about."""
        longest = self.max_prompt_tokens
        return (
            self.min_prompt_tokens <= prompt_tokens
            and (longest is None or prompt_tokens <= longest)
            and all(labels.values.get(key) == value for key, value in self.labels.items())
        )


class Rules:
    """A policy of rules: the first one that covers a request decides.

    Args:
        rules: the rules.
        models: the names of the router's models.

    Raises:
        ConfigurationError: a rule names a model that the router does not have.
    """

    def __init__(self, rules: Sequence[Rule], models: Sequence[str]) -> None:
        self._rules = rules
        for rule in rules:
            for name in rule.models:
                if name not in models:
                    known = describe_choices(list(models))
                    msg = f"a rule names the model {name!r}; the router has {known}"
                    raise ConfigurationError(msg)

    def __call__(self, candidates: Sequence[Candidate], labels: Labels) -> list[int]:
        """Order the candidates; see `Policy`."""
        longest = max((one.prompt_tokens for one in candidates), default=0)
        for rule in self._rules:
            if rule.covers(labels, longest):
                return [
                    one.index for name in rule.models for one in candidates if one.model == name
                ]
        return []


PolicyLike = Literal["ladder", "cheapest"] | Sequence[Rule] | Policy
"""A policy as users state it: its name, rules, or a function."""

_NAMED: Final[Mapping[str, Policy | None]] = {"ladder": None, "cheapest": cheapest}


def make_policy(stated: PolicyLike, models: Sequence[str]) -> Policy | None:
    """Return the policy that was stated; `None` for the ladder, which needs no candidates.

    Raises:
        ConfigurationError: there is no such policy, or a rule cannot be used.
    """
    if isinstance(stated, str):
        if stated not in _NAMED:
            msg = (
                f"there is no policy {stated!r}; it must be one of {describe_choices(_NAMED)}, "
                "a list of Rule, or a function"
            )
            raise ConfigurationError(msg)
        return _NAMED[stated]
    return stated if callable(stated) else Rules(stated, models)


def complete(order: Sequence[int], count: int) -> list[int]:
    """Return *order* without what is no index below *count*, and with all that it leaves out."""
    said = [index for index in dict.fromkeys(order) if 0 <= index < count]
    return [*said, *(index for index in range(count) if index not in said)]

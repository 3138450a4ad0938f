"""Which model a router asks first: by the ladder, by the cost of this request, or by rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.rules import Request, Rule


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of a router, and what it would cost to ask it.

    Attributes:
        index: its place on the ladder.
        model: its name as the framework reports it.
        expected: what this request is expected to cost there, in nano-dollars; `None` without a
            price.
        prompt_tokens: about how many tokens the prompt has.
        unsuitable: why it is known not to be able to do the request; empty when nothing is known.
    """

    index: int
    model: str
    expected: int | None
    prompt_tokens: int
    unsuitable: str = ""


Policy = Callable[[Sequence[Candidate], Request], Sequence[int]]
"""Puts the candidates for one request into the order in which to ask them. Returns indexes;
candidates that are left out come last, in the order of the ladder."""


def cheapest(candidates: Sequence[Candidate], _: Request) -> list[int]:
    """Order by what this very request is expected to cost; models without a price come last."""
    known = [one for one in candidates if one.expected is not None]
    return [one.index for one in sorted(known, key=lambda one: (one.expected or 0, one.index))]


class Rules:
    """A policy of rules: the first one that covers a request decides.

    Candidates that are known not to be able to do a request come last.

    Args:
        rules: the rules.
        models: the names of the router's models.
        otherwise: the policy for what no rule covers, and for the order after a rule's models;
            `None` for the ladder.
        owner: who has the models, for errors.

    Raises:
        ConfigurationError: a rule names a model that the router does not have.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        models: Sequence[str],
        otherwise: Policy | None = None,
        *,
        owner: str = "router",
    ) -> None:
        self._rules = tuple(rules)
        self._otherwise = otherwise
        for rule in self._rules:
            _check_rule(rule)
        self.check_models(models, owner)

    def check_models(self, models: Sequence[str], owner: str = "router") -> None:
        """Refuse a router that lacks a model which some rule names.

        Raises:
            ConfigurationError: it does.
        """
        for rule in self._rules:
            for name in rule.models:
                if name not in models:
                    known = describe_choices(list(models))
                    msg = f"a rule names the model {name!r}; the {owner} has {known}"
                    raise ConfigurationError(msg)

    def rule_for(self, request: Request) -> Rule | None:
        """Return the rule that decides on a request."""
        return next((rule for rule in self._rules if rule.covers(request)), None)

    def __call__(self, candidates: Sequence[Candidate], request: Request) -> list[int]:
        """Order the candidates; see `Policy`."""
        return self.order(candidates, request, self.rule_for(request))

    def order(
        self, candidates: Sequence[Candidate], request: Request, rule: Rule | None
    ) -> list[int]:
        """Order the candidates as a rule says, or as is said for what none covers."""
        named = rule.models if rule else ()
        said = [one.index for name in named for one in candidates if one.model == name]
        if self._otherwise is not None:
            said = [*said, *self._otherwise(candidates, request)]
        unsuitable = {one.index for one in candidates if one.unsuitable}
        if unsuitable:
            said = sorted(complete(said, len(candidates)), key=unsuitable.__contains__)
        return list(dict.fromkeys(said))


PolicyLike = Literal["ladder", "cheapest"] | Sequence[Rule] | Policy
"""A policy as users state it: its name, rules, a `ModelSelector`, or a function."""

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
                "a list of Rule, a ModelSelector, or a function"
            )
            raise ConfigurationError(msg)
        return _NAMED[stated]
    if not callable(stated):
        return Rules(stated, models)
    check: Any = getattr(stated, "check_models", None)
    if check is not None:
        check(models)
    return stated


def _check_rule(rule: object) -> None:
    if not isinstance(rule, Rule):
        msg = f"{rule!r} is no rule; e.g. Rule(models=['gpt-4o-mini'], tasks=['triage'])"
        raise ConfigurationError(msg)


def complete(order: Sequence[int], count: int) -> list[int]:
    """Return *order* without what is no index below *count*, and with all that it leaves out."""
    said = [index for index in dict.fromkeys(order) if 0 <= index < count]
    return [*said, *(index for index in range(count) if index not in said)]

"""`ModelSelector`: which model a request should go to, why, and what each would cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Self

from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import ConfigurationError, ModelUnsuitable
from llmcost_plugins.labels import current_labels, make_labels
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.policies import Candidate, Rules, cheapest, complete
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.abilities import abilities, make_needs, missing
from llmcost_plugins.pricing.stated import priced
from llmcost_plugins.rule_files import read_rules
from llmcost_plugins.rules import TASK, Request, Rule
from llmcost_plugins.standing import Left
from llmcost_plugins.tracker import CostTracker, default_tracker
from llmcost_plugins.usage import LARGEST_COUNT


@dataclass(frozen=True, slots=True)
class Option:
    """One model that could have been chosen.

    Attributes:
        model: its name as given to the selector.
        expected: what the request is expected to cost there, in USD; the answer counts with its
            stated length, else with the one that is usual for the model and feature.
        unsuitable: why it is passed over; empty when it is not.
    """

    model: str
    expected: Decimal | None
    unsuitable: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a selector says of a request.

    Attributes:
        model: the model to ask.
        reason: why this one, in words.
        expected: what it is expected to cost, in USD.
        options: all the models, in the order in which to ask them.
        rule: the rule that decided; `None` when none covers the request.
    """

    model: str
    reason: str
    expected: Decimal | None
    options: tuple[Option, ...]
    rule: Rule | None


class ModelSelector:
    """Chooses a model by rules over a request's task, length, labels, needs, and what is left.

    Ask it with `select`, or give it to a router: ``FallbackRouter(models, policy=selector)``.
    It holds nothing: the budgets judge the call when it is made.

    Args:
        models: names of the models as the catalog knows them, from preferred to cheapest.
        rules: the first one that covers a request decides.
        otherwise: what comes first when none does: ``ladder`` or ``cheapest``.
        tracker: whose prices and budgets count; by default the one set up by the environment.

    Raises:
        ConfigurationError: no model, a model without a price, or a rule that cannot be used.
    """

    def __init__(
        self,
        models: Sequence[str],
        rules: Sequence[Rule] = (),
        *,
        otherwise: str = "ladder",
        tracker: CostTracker | None = None,
    ) -> None:
        if isinstance(models, str) or not models:
            msg = f"models={models!r} is no list of names; e.g. models=['gpt-4o', 'gpt-4o-mini']"
            raise ConfigurationError(msg)
        if otherwise not in ("ladder", "cheapest"):
            msg = f"otherwise={otherwise!r}; it must be one of 'ladder', 'cheapest'"
            raise ConfigurationError(msg)
        self._models = tuple(dict.fromkeys(models))
        self._tracker = tracker or default_tracker()
        for model in self._models:
            priced(self._tracker.catalog, model)
        self._otherwise = otherwise
        base = cheapest if otherwise == "cheapest" else None
        self._rules = Rules(rules, self._models, base, owner="selector")

    @classmethod
    def from_toml(cls, path: Path | str, *, tracker: CostTracker | None = None) -> Self:
        """Build from a file of rules, see `llmcost_plugins.rule_files`.

        Raises:
            ConfigurationError: the file cannot be used.
        """
        stated = read_rules(Path(path))
        try:
            return cls(stated.models, stated.rules, otherwise=stated.otherwise, tracker=tracker)
        except ConfigurationError as error:
            msg = f"{str(path)!r}: {error}"
            raise ConfigurationError(msg) from None

    def check_models(self, models: Sequence[str]) -> None:
        """Refuse a router that lacks a model which some rule names.

        Raises:
            ConfigurationError: it does.
        """
        self._rules.check_models(models)

    def __call__(self, candidates: Sequence[Candidate], request: Request) -> list[int]:
        """Order a router's models for a request; see `Policy`."""
        return self._rules(candidates, request)

    def select(
        self,
        task: str | None = None,
        *,
        input_tokens: int = 0,
        output_tokens: int | None = None,
        needs: Iterable[str] = (),
        **labels: str | int | None,
    ) -> Choice:
        """Choose a model for a request.

        Args:
            task: what kind of request it is; the label ``task``.
            input_tokens: about how many tokens its prompt has.
            output_tokens: how many its answer will have; by default what is usual, see `Option`.
            needs: what the model must be able to do, some of `ABILITIES`.
            labels: who causes it; those of the `attribute` blocks around count as well.

        Raises:
            ConfigurationError: an argument cannot be used.
            ModelUnsuitable: no model can do the request, as far as is known.
        """
        _check_tokens("input_tokens", input_tokens)
        if output_tokens is not None:
            _check_tokens("output_tokens", output_tokens)
        wanted = make_needs(needs)
        own = make_labels({**labels, TASK: task})
        size = CallSize(input_tokens, output_tokens)
        specs = [CallSpec("", model, None, size, labels=own) for model in self._models]

        @lru_cache(maxsize=1)
        def left() -> Sequence[Left]:
            return self._tracker.budgets_left(specs)

        request = Request(current_labels().merged(own), input_tokens, wanted, left)
        candidates = [self._candidate(i, spec, wanted) for i, spec in enumerate(specs)]
        return self._chosen(candidates, request)

    def _chosen(self, candidates: Sequence[Candidate], request: Request) -> Choice:
        rule = self._rules.rule_for(request)
        order = complete(self._rules.order(candidates, request, rule), len(candidates))
        asked = [candidates[index] for index in order]
        if asked[0].unsuitable:
            reasons = "; ".join(one.unsuitable for one in asked)
            msg = f"no model can do this request: {reasons}. Add one that can to the selector"
            raise ModelUnsuitable(msg)
        options = tuple(
            Option(one.model, _usd(one.expected), unsuitable=one.unsuitable) for one in asked
        )
        return Choice(
            options[0].model, self._reason(asked, rule), options[0].expected, options, rule
        )

    def _reason(self, asked: Sequence[Candidate], rule: Rule | None) -> str:
        chosen = asked[0].model
        if rule is None:
            first = "the cheapest" if self._otherwise == "cheapest" else "the preferred model"
            reason = f"no rule covers the request: {first}"
            stands_above = asked
        elif chosen in rule.models:
            reason = f"rule {rule.title!r} ({rule.conditions()})"
            stands_above = [one for one in asked if one.model in rule.models]
        else:
            reason = f"rule {rule.title!r} covers the request, and none of its models can do it"
            stands_above = asked
        passed = "; ".join(one.unsuitable for one in stands_above if one.unsuitable)
        return f"{reason}; passed over: {passed}" if passed else reason

    def _candidate(self, index: int, spec: CallSpec, needs: frozenset[str]) -> Candidate:
        expected, tokens = self._tracker.expected_cost(spec), spec.size.prompt_bound
        found = self._tracker.catalog.resolve(spec.model)
        lacks = missing(abilities(self._tracker.catalog, found), needs)
        window = found.prices.max_input_tokens if found.prices else None
        why = f"{spec.model!r} is not known for {', '.join(lacks)}" if lacks else ""
        if window is not None and tokens > window:
            why = f"{spec.model!r} takes prompts of {window:,} tokens, and this one has {tokens:,}"
        return Candidate(index, spec.model, expected, tokens, why)


def _check_tokens(key: str, value: int) -> None:
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        msg = f"{key}={value!r} is no number of tokens; e.g. {key}=2000"
        raise ConfigurationError(msg)


def _usd(nano: int | None) -> Decimal | None:
    return None if nano is None else nano_to_usd(nano)

"""What the recorded calls would have cost under other models, other rules or other prices.

The same requests with the same usage, so an estimate by nature (`CAVEAT`), but exact money: each
call is priced by itself and rounded once, as when it is recorded.
"""

from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Ledger, Status, Used
from llmcost_plugins.money import nano_to_usd, settle_nano, usd_to_nano
from llmcost_plugins.policies import Candidate, Rules
from llmcost_plugins.pricing import Catalog, cost_of
from llmcost_plugins.pricing.cost import Pricer, pricer
from llmcost_plugins.pricing.rates import Prices
from llmcost_plugins.pricing.stated import priced
from llmcost_plugins.repricing import resolved
from llmcost_plugins.rule_files import RuleFile
from llmcost_plugins.rules import Request
from llmcost_plugins.usage import METERS, PROMPT_METERS, Trust, Usage

CAVEAT: Final = (
    "with the same requests and the same tokens; another model may answer otherwise, at other "
    "length, and count tokens in another way"
)
"""What every simulation takes for granted."""
_REPLAYED: Final = frozenset({Status.OK, Status.ABORTED, Status.ERROR, Status.CORRECTION})
_COMMON: Final = frozenset(METERS)
_PROMPT: Final = frozenset(PROMPT_METERS)
_EVERY: Final = 20_000


class Target(NamedTuple):
    """What a call is priced as.

    Attributes:
        model: the catalog's key of the model.
        prices: its prices; `None` where none are known.
        nano: prices counts in the common meters; made from *prices*.
    """

    model: str
    prices: Prices | None
    nano: Pricer | None

    @classmethod
    def of(cls, model: str, prices: Prices | None) -> "Target":
        """Return the target of a model with those prices."""
        return cls(model, prices, None if prices is None else pricer(prices))


class Scenario(Protocol):
    """Says as what each recorded call is to be priced; `None` leaves it as it was."""

    def __call__(self, used: Used) -> Target | None:
        """Return the target of one entry."""


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """Calls of one feature that went to one model. Money in USD.

    Attributes:
        model: the model that was asked.
        instead: the one that would have been.
        feature: the label; empty where a call had none.
        calls: how many.
        spent: what they have cost.
        simulated: what they would have.
    """

    model: str
    instead: str
    feature: str
    calls: int
    spent: Decimal
    simulated: Decimal

    @property
    def change(self) -> Decimal:
        """What would have been spent more; negative where less."""
        # In whole numbers: how Decimal subtracts depends on the caller's context.
        return nano_to_usd(usd_to_nano(self.simulated) - usd_to_nano(self.spent))


@dataclass(frozen=True, slots=True)
class Simulation:
    """What would have been spent. Money in USD; the rows add up to the sums.

    Attributes:
        rows: by model and feature, the largest change first.
        calls: how many calls are in the rows, those that stay as they were included.
        spent: what they have cost.
        simulated: what they would have.
        unpriced: how many calls cannot be priced so; in none of the sums above.
        unpriced_spent: what these have cost.
    """

    rows: tuple[SimulatedRow, ...]
    calls: int
    spent: Decimal
    simulated: Decimal
    unpriced: int
    unpriced_spent: Decimal

    @property
    def change(self) -> Decimal:
        """What would have been spent more; negative where less."""
        return nano_to_usd(usd_to_nano(self.simulated) - usd_to_nano(self.spent))


def other_models(catalog: Catalog, swaps: Mapping[str, str]) -> Scenario:
    """Ask one model instead of another, e.g. ``{"gpt-4o": "gpt-4o-mini"}``.

    Raises:
        ConfigurationError: no price is known for a model that is to be asked, or a model is to be
            replaced by itself, or twice.
    """
    targets: dict[str, Target] = {}
    for model, instead in swaps.items():
        found, prices = priced(catalog, instead)
        known = catalog.resolve(model)
        if known.model == found.model:
            msg = f"{model!r} and {instead!r} are the same model, so nothing would change"
            raise ConfigurationError(msg)
        if known.model in targets:
            msg = f"{model!r} is to be replaced twice, as {known.model!r}; state it once"
            raise ConfigurationError(msg)
        targets[known.model] = Target.of(found.model, prices)
    return lambda used: targets.get(used.model)


def other_prices(catalog: Catalog) -> Scenario:
    """Price each call by that catalog, at the model that was served."""

    @lru_cache(maxsize=4096)
    def target(model: str, served: str | None, requested: str, provider: str) -> Target:
        return Target.of(model, resolved(catalog, served, requested, provider).prices)

    return lambda used: target(used.model, used.served, used.requested, used.provider)


def other_rules(catalog: Catalog, stated: RuleFile) -> Scenario:
    """Let rules choose among their models, for the calls that went to one of these.

    What the ledger does not know cannot be asked: no call is taken to need anything, and all is
    left of every budget.

    Raises:
        ConfigurationError: no price is known for a model, or the rules cannot be used.
    """
    if stated.otherwise not in {"ladder", "cheapest"}:
        msg = f"otherwise={stated.otherwise!r}; it must be one of 'ladder', 'cheapest'"
        raise ConfigurationError(msg)
    models = tuple(dict.fromkeys(stated.models))
    known = [priced(catalog, model) for model in models]
    targets = [Target.of(found.model, prices) for found, prices in known]
    by_cost = stated.otherwise == "cheapest"
    rules = Rules(stated.rules, models, owner="file of rules")
    routed = {target.model for target in targets}
    windows = [target.prices.max_input_tokens for target in targets if target.prices]
    borders = sorted(
        {rule.min_prompt_tokens for rule in stated.rules}
        | {
            rule.max_prompt_tokens + 1
            for rule in stated.rules
            if rule.max_prompt_tokens is not None
        }
        | {window + 1 for window in windows if window is not None}
    )

    def candidates(tokens: int) -> list[Candidate]:
        each = enumerate(zip(models, targets, strict=True))
        return [
            Candidate(place, model, None, tokens, _too_long(target, tokens))
            for place, (model, target) in each
        ]

    # By ranges of lengths that no rule and no window parts: few calls have the very same length.
    @lru_cache(maxsize=100_000)
    def first_of(labels: Labels, length: int) -> int | None:
        tokens = borders[length - 1] if length else 0
        request = Request(labels, tokens)
        rule = rules.rule_for(request)
        asked = candidates(tokens)
        place = next(iter(rules.order(asked, request, rule)), 0)
        named = () if rule is None else rule.models
        return None if by_cost and models[place] not in named else place

    def choose(used: Used) -> Target | None:
        if used.model not in routed:
            return None
        tokens = sum(int(n) for meter, n in used.counts.items() if meter in _PROMPT)
        place = first_of(used.labels, bisect(borders, tokens))
        if place is None:  # the cheapest for just this usage
            costs = [_nano(used, target) for target in targets]
            order = [(cost, at) for at, cost in enumerate(costs) if cost is not None]
            fit = [one for one in order if not _too_long(targets[one[1]], tokens)]
            place = min(fit or order, default=(0, 0))[1]
        return targets[place]

    return choose


def simulate(
    ledger: Ledger,
    scenario: Scenario,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Simulation:
    """Replay the entries of a span under a scenario. Changes nothing.

    Cached answers and lost calls keep their cost, refused calls stay refused.

    Args:
        ledger: where the calls are recorded.
        scenario: one of `other_models`, `other_prices`, `other_rules`, or a function.
        since: the first accounting time.
        until: the accounting time after the last.
        progress: is told now and then how many more entries were read.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    unpriced = [0, 0]
    read = 0
    for used in ledger.used(since=since, until=until) if ledger.exists() else ():
        read += 1
        if read % _EVERY == 0:
            progress(_EVERY)
        if used.status is Status.REFUSED:
            continue
        target = scenario(used) if used.status in _REPLAYED else None
        would = used.cost if target is None else _would_cost(used, target)
        calls = used.status is not Status.CORRECTION
        if would is None:
            unpriced[0] += calls
            unpriced[1] += used.cost
            continue
        instead = used.model if target is None else target.model
        found = sums[used.model, instead, used.labels.values.get("feature", "")]
        found[0] += calls
        found[1] += used.cost
        found[2] += would
    progress(read % _EVERY)
    return _summed(sums, unpriced)


def _would_cost(used: Used, target: Target) -> int | None:
    """Return the cost of an entry under a target in nano-dollars; `None` without prices."""
    if target.prices is None:
        return None
    if not used.counts:
        # What it has used is with the call that it corrects, and priced there; else it is nothing.
        return 0 if used.status is Status.CORRECTION else used.cost
    cost = _nano(used, target)
    if cost is None or used.status is not Status.CORRECTION:
        return cost
    # Found again after it was lost: the cost of the entry is what it takes from the lost one's to
    # the true one, and so it is here.
    return used.cost + cost - settle_nano(sum(line.amount for line in used.lines))


def _nano(used: Used, target: Target) -> int | None:
    if target.prices is None or target.nano is None:
        return None
    if _COMMON.issuperset(used.counts):
        return target.nano(used.counts, used.at)  # type: ignore[arg-type]  # meters are counts
    try:
        usage = Usage.from_counts(used.counts, Trust.PROVIDER)
    except ValueError:  # a meter of a newer version, which nobody here has a price of
        return None
    found = cost_of(usage, target.prices, used.at)
    return None if found.unpriced else found.nano


def _too_long(target: Target, tokens: int) -> str:
    longest = target.prices.max_input_tokens if target.prices else None
    return "the prompt is too long for it" if longest is not None and tokens > longest else ""


def _summed(
    sums: Mapping[tuple[str, str, str], Sequence[int]], unpriced: Sequence[int]
) -> Simulation:
    rows = [
        SimulatedRow(*group, calls, nano_to_usd(spent), nano_to_usd(would))
        for group, (calls, spent, would) in sums.items()
        if calls or spent or would
    ]
    rows.sort(key=lambda row: (-abs(row.change), -row.spent, row.model, row.feature, row.instead))
    calls, spent, would = (sum(one[place] for one in sums.values()) for place in range(3))
    return Simulation(
        tuple(rows),
        calls,
        nano_to_usd(spent),
        nano_to_usd(would),
        unpriced[0],
        nano_to_usd(unpriced[1]),
    )

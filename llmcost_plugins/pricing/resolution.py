"""What the catalog answers about a name."""

from dataclasses import dataclass
from enum import StrEnum

from llmcost_plugins.pricing.rates import Prices

NOBODY = "unknown"
"""The provider of a model when neither the framework nor the catalog says."""


class Match(StrEnum):
    """How a name was matched with an entry of the price map; the surest first."""

    EXACT = "exact"
    """The name, or the provider with the name, is a key of the map; or it is served locally."""
    ALIAS = "alias"
    """Another way to write a key, which cannot change the price; or an alias of the user's."""
    STRIPPED = "stripped"
    """Something that may change the price was left open: a date, a version, a region, a tag."""
    STAND_IN = "stand-in"
    """Only another provider's price is known; the one that is asked may ask another."""
    AMBIGUOUS = "ambiguous"
    """Several hosts serve it at different prices, and nothing says which of them is meant."""
    UNKNOWN = "unknown"
    """No entry, or an entry without a usable price."""

    @property
    def is_certain(self) -> bool:
        """Whether the prices are those of the model that was asked for, so that a cost is exact.

        Otherwise it is an estimate; with `AMBIGUOUS` and `UNKNOWN` there are no prices at all.
        """
        return self in {Match.EXACT, Match.ALIAS}


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the catalog knows of a name.

    Attributes:
        name: the name that was asked for.
        model: the canonical key; the name itself when there are no prices.
        provider: LiteLLM's name of the provider that is asked, e.g. ``vertex_ai``; ``unknown`` when
            neither the framework nor the catalog says.
        match: how the name was matched.
        prices: the unit prices, or `None`.
        reason: why there are no prices; empty when there are.
        rule: what led to the key, in words; empty when there are no prices.
        candidates: other keys, at most five: for a hit those that competed with it, for an
            ambiguous name those that disagree, for an unknown one those that look like it.
    """

    name: str
    model: str
    provider: str
    match: Match
    prices: Prices | None
    reason: str = ""
    rule: str = ""
    candidates: tuple[str, ...] = ()

"""What optimizing has saved."""

import threading
from dataclasses import dataclass
from decimal import Decimal

from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.pricing import Prices, cost_of
from llmcost_plugins.usage import Usage


@dataclass(frozen=True, slots=True)
class Saving:
    """What optimizing one prompt has saved.

    Attributes:
        tokens_before: the tokens of the prompt as it was, without the framing of messages.
        tokens_after: those of the prompt as it is.
        saved_usd: the price of the difference, in USD, as uncached input; `None` without a price.
        estimated: whether the tokens are no more than an estimate, or the price is not certain.
        counted_by: what counted them: the name of an encoding, or ``bytes/4``.
        dropped: messages of the history that are left out.
        repeated: paragraphs that are left out because they stand before.
        truncated: texts whose middle is left out.
        fits: whether there is room for what is left; false when what must stay is more.
    """

    tokens_before: int
    tokens_after: int
    saved_usd: Decimal | None
    estimated: bool
    counted_by: str
    dropped: int = 0
    repeated: int = 0
    truncated: int = 0
    fits: bool = True

    @property
    def tokens_saved(self) -> int:
        """The difference; never negative."""
        return self.tokens_before - self.tokens_after


def saved_usd(prices: Prices | None, before: int, after: int) -> Decimal | None:
    """Return what the tokens that are left out would have cost, in USD."""
    if prices is None:
        return None
    costs = [cost_of(Usage(input=tokens), prices).nano for tokens in (before, after)]
    return nano_to_usd(costs[0] - costs[1])


class Tally:
    """Adds up savings. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = self._prompts = 0
        self._usd = Decimal(0)
        self._estimated = False

    def add(self, saving: Saving) -> None:
        """Add one."""
        with self._lock:
            self._prompts += 1
            self._tokens += saving.tokens_saved
            self._usd += saving.saved_usd or 0
            self._estimated |= saving.estimated or saving.saved_usd is None

    @property
    def prompts(self) -> int:
        """How many prompts were optimized."""
        return self._prompts

    @property
    def tokens_saved(self) -> int:
        """The tokens saved."""
        return self._tokens

    @property
    def saved_usd(self) -> Decimal:
        """The USD saved, without those of prompts that have no price."""
        return self._usd

    @property
    def estimated(self) -> bool:
        """Whether some of it is an estimate, or misses a price."""
        return self._estimated

"""What finished calls have shown of models' tokenizers, kept in the ledger for all processes."""

import threading

from llmcost_plugins.ledger import Learned, Ledger
from llmcost_plugins.pricing.estimate import LEARNED_FROM, CallSize, ratio_seen


class Calibration:
    """The largest ratio of prompt tokens to the measure of their text, for each model.

    Read from the ledger once; written when a call shows more than is known, so that a model that
    has been seen often costs no write.

    Args:
        ledger: where it is kept.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Learned] | None = None

    def ratio(self, model: str, measure: str) -> int | None:
        """Return the largest ratio of a model; `None` before enough calls have told.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        found = self._all().get((model, measure))
        return found.ratio if found and found.seen >= LEARNED_FROM else None

    def note(self, model: str, size: CallSize, prompt_tokens: int) -> None:
        """Learn from a call whose provider reported its prompt tokens.

        Raises:
            LedgerUnavailable: the ledger cannot be written.
        """
        ratio = ratio_seen(size, prompt_tokens)
        if ratio is None:
            return
        known = self._all()
        found = known.get((model, size.measure))
        if found is None or found.seen < LEARNED_FROM or found.ratio < ratio:
            known[model, size.measure] = self._ledger.learn(model, size.measure, ratio)

    def _all(self) -> dict[tuple[str, str], Learned]:
        with self._lock:
            if self._known is None:
                self._known = self._ledger.learned()
            return self._known

"""How long answers are: what calls without a cap have shown, by model and feature."""

import threading
from typing import Final

from llmcost_plugins.ledger import Learned, Ledger
from llmcost_plugins.pricing.estimate import LEARNED_FROM

_MEASURE: Final = "answer"
_LARGER: Final = (12, 10)
"""An uncapped call is held for 1.2 times the longest answer seen."""
_USUAL: Final = (95, 100)
_ENOUGH: Final = 500
"""Answers after which only a longer one is still written down."""

Key = tuple[str, str]


class Answers:
    """The lengths of answers, kept in the ledger for all processes.

    For each model and feature, one row for each power of two: how many answers were so long, and
    the longest of them. That gives the longest of all, and what 95 % of the answers need.

    Args:
        ledger: where it is kept.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._known: dict[Key, dict[int, Learned]] | None = None

    def hold_for(self, model: str, feature: str) -> int | None:
        """Return 1.2 times the longest answer seen; `None` before 20 answers were.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        rows = self._rows(model, feature)
        if sum(row.seen for row in rows.values()) < LEARNED_FROM:
            return None
        longest = max(row.ratio for row in rows.values())
        return -(-longest * _LARGER[0] // _LARGER[1])

    def usual(self, model: str, feature: str) -> int | None:
        """Return a length that 95 % of the answers do not exceed; `None` before 20 were seen.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        rows = self._rows(model, feature)
        total = sum(row.seen for row in rows.values())
        if total < LEARNED_FROM:
            return None
        counted = 0
        for _, row in sorted(rows.items()):
            counted += row.seen
            if counted * _USUAL[1] >= total * _USUAL[0]:
                return row.ratio
        return None  # pragma: no cover - the last row brings the count to the total

    def note(self, model: str, feature: str, tokens: int) -> None:
        """Learn from one answer of so many tokens.

        Raises:
            LedgerUnavailable: the ledger cannot be written.
        """
        rows = self._rows(model, feature)
        power = tokens.bit_length()
        seen = sum(row.seen for row in rows.values())
        if seen >= _ENOUGH and power in rows and rows[power].ratio >= tokens:
            return
        rows[power] = self._ledger.learn(model, f"{_MEASURE}:{power}:{feature}", tokens)

    def _rows(self, model: str, feature: str) -> dict[int, Learned]:
        with self._lock:
            if self._known is None:
                self._known = {}
                for (name, measure), learned in self._ledger.learned().items():
                    kind, _, rest = measure.partition(":")
                    power, _, of = rest.partition(":")
                    if kind == _MEASURE:
                        self._known.setdefault((name, of), {})[int(power)] = learned
            return self._known.setdefault((model, feature), {})

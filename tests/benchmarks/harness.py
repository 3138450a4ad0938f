"""Paired timing: base and candidate take turns, so that both see the same noise of the machine."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 25


@dataclass(frozen=True)
class Comparison:
    """Two timings of one run.

    Attributes:
        base_us: the fastest round of the base, microseconds per call.
        candidate_us: the fastest round of the candidate.
        ratio: the median over the rounds of candidate / base.
    """

    base_us: float
    candidate_us: float
    ratio: float


def compare(
    base: Callable[[], object], candidate: Callable[[], object], *, calls: int = 100
) -> Comparison:
    """Time both in turns, *calls* calls a round."""
    for function in (base, candidate):
        _round(function, calls)
    pairs = [(_round(base, calls), _round(candidate, calls)) for _ in range(ROUNDS)]
    return Comparison(
        base_us=min(base_s for base_s, _ in pairs) / calls * 1e6,
        candidate_us=min(candidate_s for _, candidate_s in pairs) / calls * 1e6,
        ratio=statistics.median(candidate_s / base_s for base_s, candidate_s in pairs),
    )


def _round(function: Callable[[], object], calls: int) -> float:
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return time.perf_counter() - start
    finally:
        gc.enable()
        gc.collect()


def tell(what: str, base: str, measured: Comparison, target: str) -> None:
    """Print one line of the table."""
    print(
        f"\n{what}: {measured.candidate_us:,.0f} us, {measured.ratio:.2f}x of {base} "
        f"({measured.base_us:,.1f} us); target {target}"
    )

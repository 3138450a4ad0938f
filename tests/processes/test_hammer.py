"""Many callers in several processes share one budget and a provider that bills them."""

import os

import pytest

from tests.processes.fleet import WORST, Fleet, tell

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="starts processes as POSIX does"),
    pytest.mark.timeout(600),
]


@pytest.mark.parametrize(
    ("mode", "short", "long_form"),
    [
        ("threads", (4, 8, 250_000_000), (8, 32, 8_000_000_000)),
        ("tasks", (4, 16, 250_000_000), (8, 64, 8_000_000_000)),
        ("router", (4, 4, 120_000_000), (8, 16, 1_000_000_000)),
    ],
)
def test_callers_use_a_budget_up_and_are_never_billed_beyond_it(
    fleet: Fleet,
    mode: str,
    short: tuple[int, int, int],
    long_form: tuple[int, int, int],
    long: bool,
) -> None:
    processes, callers, limit = long_form if long else short
    assert limit * 0.02 >= WORST
    workers = [fleet.start(f"{limit}e-9", mode=mode, callers=callers) for _ in range(processes)]
    for worker in workers:
        worker.wait()
    billed = fleet.provider.billed_nano
    count = len(fleet.provider.requests)
    tell(f"{mode}: {processes} x {callers}, {count} calls, used {billed / limit:.2%}")
    assert limit * 0.98 <= billed <= limit
    fleet.check_books()
    assert fleet.spent() == billed
    if mode != "router":
        assert fleet.settled() == fleet.costs() == fleet.billed()

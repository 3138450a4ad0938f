import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.ledger import Ledger, Status
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.streams import Streamed
from llmcost_plugins.testing import FakeClock
from tests.unit.trackers import make_tracker, spec

UNCAPPED = CallSize(1000, None)


def chunks_until_more(streamed: Streamed, size: int = 1, most: int = 10**5) -> int | None:
    return next((n for n in range(1, most + 1) if streamed.add(size)), None)


def test_more_is_asked_for_at_three_quarters_of_the_hold() -> None:
    assert chunks_until_more(Streamed(100)) == 75
    assert chunks_until_more(Streamed(100), size=100) == 3  # large chunks have many tokens


def test_a_declared_cap_is_never_outgrown() -> None:
    assert chunks_until_more(Streamed(None), most=1000) is None


def test_a_stream_doubles_its_hold_for_as_long_as_budgets_pay(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1), max_output_tokens=100)
    call = tracker.start(spec(size=UNCAPPED))
    streamed, held = call.streamed(), []
    for _ in range(1000):
        if streamed.add(1):
            call.keep_up(streamed)
            held.append((streamed.chunks, call.estimate.output))
    assert held == [(75, 200), (150, 400), (300, 800), (600, 1600)]
    (hold,) = ledger.holds()
    assert hold.charge.usd == 1000 * 2500 + 1600 * 10_000


def test_a_stream_ends_where_no_budget_pays_for_more(ledger: Ledger, clock: FakeClock) -> None:
    # The prompt, and 250 tokens of an answer.
    tracker = make_tracker(ledger, clock, Budget("global", "0.005"), max_output_tokens=100)
    call = tracker.start(spec(size=UNCAPPED))
    streamed = call.streamed()

    def listen() -> None:
        while True:
            if streamed.add(1):
                call.keep_up(streamed)

    with pytest.raises(BudgetExceeded) as caught:
        listen()
    assert 200 <= streamed.chunks <= 250
    call.broke(caught.value, received_bytes=streamed.received_bytes, usage=None)
    (entry,) = ledger.entries()
    assert entry.outcome.status is Status.ABORTED
    assert entry.outcome.usage.completion_tokens == streamed.chunks
    assert entry.outcome.cost == 1000 * 2500 + streamed.chunks * 10_000 <= 5_000_000


def test_two_who_count_one_stream_hold_for_it_once(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1), max_output_tokens=100)
    call = tracker.start(spec(size=UNCAPPED))
    mine, others = call.streamed(), call.streamed()
    for _ in range(75):
        for streamed in (mine, others):
            if streamed.add(1):
                call.keep_up(streamed)
    assert call.estimate.output == 200


def test_nothing_is_held_beyond_what_the_model_can_answer(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 100), max_output_tokens=10_000)
    call = tracker.start(spec(size=UNCAPPED))
    streamed = call.streamed()
    for _ in range(30_000):
        if streamed.add(1):
            call.keep_up(streamed)
    assert call.estimate.output == 16_384


def test_a_stream_goes_on_when_the_ledger_is_gone(
    ledger: Ledger, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1), max_output_tokens=100)
    call = tracker.start(spec(size=UNCAPPED))
    streamed = call.streamed()
    path = ledger.path  # type: ignore[attr-defined]  # the fixture's ledger is a file
    path.unlink()
    path.mkdir()
    for _ in range(1000):
        if streamed.add(1):
            call.keep_up(streamed)
    assert tracker.failures == 1
    assert "could not be extended" in caplog.text


def test_a_refusal_of_someone_else_before_anything_was_streamed_costs_nothing(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", "0.005"))
    call = tracker.start(spec())
    with pytest.raises(BudgetExceeded) as caught:
        make_tracker(ledger, clock, Budget("user:u1", 0), Budget("global", 0)).start(spec())
    call.broke(caught.value, received_bytes=0, usage=None)
    costs = [(e.outcome.status, e.outcome.cost) for e in ledger.entries() if e.call == call.call]
    assert costs == [(Status.ERROR, 0)]

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import BudgetExceeded, LedgerUnavailable, PriceUnknown
from llmcost_plugins.labels import attribute, make_labels, take_labels
from llmcost_plugins.ledger import Entry, Ledger, Status, open_ledger
from llmcost_plugins.pricing import CallSize, Catalog, Line, Mode
from llmcost_plugins.pricing.policy import parse_unknown_model
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker, default_tracker, set_default_tracker
from llmcost_plugins.usage import Trust, Usage

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
CATALOG = Catalog(packaged_snapshot())
# gpt-4o: $2.50 and $10 per million tokens, so this call costs at most 1000 * 2500 + 100 * 10000.
SIZE = CallSize(1000, 100)
MOST = 3_500_000
ids = count()

Make = Callable[..., CostTracker]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield ledger


@pytest.fixture
def make(ledger: Ledger, clock: FakeClock) -> Make:
    def make(*budgets: Budget, **settings: Any) -> CostTracker:
        known = {"catalog": CATALOG, "clock": clock, "hold_wait": timedelta(0), **settings}
        return CostTracker(ledger, budgets, **known)

    return make


def spec(model: str = "gpt-4o", **facts: Any) -> CallSpec:
    known = {"id": f"id-{next(ids)}", "provider": "openai", "size": SIZE, **facts}
    return CallSpec(model=model, **known)


def only(ledger: Ledger) -> Entry:
    (entry,) = ledger.entries()
    return entry


def test_a_call_is_held_at_most_and_settled_exactly(make: Make, ledger: Ledger) -> None:
    tracker = make(Budget("global", 1, "day"))
    call = tracker.start(spec())
    (status,) = tracker.budgets()
    assert status.held * 10**9 == call.estimate.nano == MOST
    assert status.holds == 1
    outcome = call.finish(Usage(input=10, output=5), "gpt-4o-2024-08-06")
    assert outcome is not None
    assert (outcome.cost, outcome.usage.trust) == (10 * 2500 + 5 * 10_000, Trust.PROVIDER)
    assert only(ledger).outcome == outcome
    (status,) = tracker.budgets()
    assert status.held == status.holds == 0
    assert status.spent * 10**9 == outcome.cost


def test_the_first_end_counts_and_later_ones_change_nothing(make: Make, ledger: Ledger) -> None:
    call = make(Budget("global", 1)).start(spec())
    first = call.finish(Usage(input=10))
    assert call.ended
    assert call.finish(Usage(input=99)) is first
    assert call.cached(Usage(input=99)) is first
    assert call.fail(KeyError()) is first
    assert call.abort(streamed_bytes=99) is first
    call.release()
    assert only(ledger).outcome == first


def test_a_second_start_with_the_same_id_adopts_the_first(make: Make) -> None:
    tracker = make(Budget("global", 1))
    first = tracker.start(spec(id="same"))
    assert tracker.start(spec(id="same", model="gpt-4o-mini")) is first
    (status,) = tracker.budgets()
    assert status.holds == 1


async def test_a_second_async_start_adopts_as_well(make: Make) -> None:
    tracker = make(Budget("global", 1))
    assert await tracker.astart(spec(id="same")) is await tracker.astart(spec(id="same"))


@pytest.mark.parametrize(
    ("served", "cost"),
    [(None, 2500), ("gpt-4o", 2500), ("gpt-4o-2024-05-13", 5000), ("gpt-4o-2099-01-01", 2500)],
)
def test_a_served_snapshot_is_priced_when_it_is_known(
    make: Make, ledger: Ledger, served: str | None, cost: int
) -> None:
    make().start(spec()).finish(Usage(input=1), served)
    assert (only(ledger).outcome.cost, only(ledger).outcome.served) == (cost, served)


def test_a_price_that_was_not_matched_exactly_makes_an_estimate(make: Make, ledger: Ledger) -> None:
    make().start(spec("gpt-4o-2099-01-01")).finish(Usage(input=1))
    assert only(ledger).outcome.usage.trust is Trust.ESTIMATED
    assert only(ledger).outcome.cost == 2500


def test_a_cached_answer_costs_nothing_and_saves_its_price(make: Make, ledger: Ledger) -> None:
    make().start(spec()).cached(Usage(input=10))
    outcome = only(ledger).outcome
    assert (outcome.status, outcome.cost, outcome.saved) == (Status.CACHED, 0, 25_000)


def test_a_failed_call_costs_what_was_billed(make: Make, ledger: Ledger) -> None:
    tracker = make(Budget("global", 1))
    tracker.start(spec()).fail(TimeoutError("too slow"))
    tracker.start(spec()).fail(TimeoutError("too slow"), billed=Usage(input=1))
    first, second = (entry.outcome for entry in ledger.entries())
    assert (first.status, first.cost, first.detail) == (Status.ERROR, 0, "TimeoutError")
    assert second.cost == 2500


def test_an_entry_never_has_the_text_of_an_error(make: Make, ledger: Ledger) -> None:
    # Those of parsers and providers quote prompts, answers and keys.
    make().start(spec()).fail(ValueError("cannot parse 'the secret answer'"), billed=Usage(input=1))
    assert only(ledger).outcome.detail == "ValueError"


@pytest.mark.parametrize(("streamed", "output"), [(0, 0), (40, 40), (1000, 100), (None, 100)])
def test_an_aborted_call_is_estimated_on_the_safe_side(
    make: Make, ledger: Ledger, streamed: int | None, output: int
) -> None:
    make().start(spec()).abort(streamed_bytes=streamed, detail="closed")
    outcome = only(ledger).outcome
    assert outcome.usage == Usage(input=1000, output=output, trust=Trust.ESTIMATED)
    assert outcome.cost == 1000 * 2500 + output * 10_000 <= MOST
    assert (outcome.status, outcome.detail) == (Status.ABORTED, "closed")


def test_a_released_call_leaves_no_trace(make: Make, ledger: Ledger) -> None:
    tracker = make(Budget("global", 1))
    call = tracker.start(spec())
    call.release()
    assert call.ended
    assert list(ledger.entries()) == []
    assert tracker.budgets()[0].holds == 0


def test_what_falling_back_saved_is_recorded(make: Make, ledger: Ledger) -> None:
    call = make().start(spec("gpt-4o-mini", preferred="gpt-4o", preferred_provider="openai"))
    call.finish(Usage(input=1000))
    outcome = only(ledger).outcome
    assert (outcome.preferred_model, outcome.preferred_cost) == ("gpt-4o", 2_500_000)
    (total,) = ledger.totals([])
    assert total.fallback_saved == 2_500_000 - 150_000


def test_a_lost_call_that_ends_late_is_corrected(
    make: Make, ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make(Budget("global", 1), call_max=timedelta(seconds=30))
    call = tracker.start(spec())
    clock.advance(30)
    assert tracker.budgets()[0].spent * 10**9 == MOST
    assert call.finish(Usage(input=1)) is not None
    assert tracker.budgets()[0].spent * 10**9 == 2500
    assert [entry.outcome.status for entry in ledger.entries()] == ["lost", "correction"]


def test_labels_of_the_call_win_over_blocks_and_blocks_over_defaults(
    make: Make, ledger: Ledger
) -> None:
    defaults = make_labels({"team": "d", "feature": "d", "user": "d"}, ["d"])
    own = make_labels({"user": "c"}, ["c"])
    with attribute(feature="a", user="a", tags=["a"]):
        call = make().start(spec(labels=own, defaults=defaults))
    call.finish(Usage())
    assert only(ledger).call.labels.values == {"team": "d", "feature": "a", "user": "c"}
    assert set(only(ledger).call.labels.tags) == {"a", "c", "d"}


def test_labels_are_taken_from_metadata_without_prompts(make: Make) -> None:
    tracker = make(Budget("cost_center:*", 1))
    metadata = {
        "user": "u1",
        "team": {"nested": 1},
        "feature": "",
        "cost_center": 7,
        "llmcost_stage": "dev",
        "prompt": "secret",
        "llmcost_tags": "x",
    }
    labels = take_labels(tracker.label_keys, metadata, ["a", "", "b\n", "c"])
    assert labels == make_labels({"user": "u1", "cost_center": "7", "stage": "dev"}, ["a", "c"])


def test_a_call_without_a_run_is_its_own(make: Make) -> None:
    tracker = make(Budget("run", "0.0035"))
    for _ in range(2):
        tracker.start(spec(run=None)).finish(Usage(input=1))
    tracker.start(spec(run="r")).finish(Usage(input=1))
    with pytest.raises(BudgetExceeded):
        tracker.start(spec(run="r"))


def test_a_refusal_is_kept_and_recorded(make: Make, ledger: Ledger) -> None:
    tracker = make(Budget("global", "0.001", "day"))
    with pytest.raises(BudgetExceeded) as caught:
        tracker.start(spec())
    assert [kept.refusal for kept in tracker.tripped] == [caught.value.refusal]
    assert only(ledger).outcome.status is Status.REFUSED
    tracker.start(spec(size=CallSize(10, 10))).finish(Usage(input=1))


def test_an_unknown_model_needs_a_price_only_under_a_budget(make: Make, ledger: Ledger) -> None:
    with pytest.raises(PriceUnknown, match="gpt-99"):
        make(Budget("global", 1)).start(spec("gpt-99"))
    make(Budget("team:*", 1)).start(spec("gpt-99")).finish(Usage(input=10))
    outcome = only(ledger).outcome
    assert (outcome.cost, outcome.usage.trust) == (0, Trust.UNPRICED)


def test_a_ceiling_stands_in_for_an_unknown_price(make: Make, ledger: Ledger) -> None:
    policy = parse_unknown_model("ceiling:10,30")
    tracker = make(Budget("global", 1), unknown_model=policy)
    call = tracker.start(spec("gpt-99"))
    assert call.estimate.nano == 1000 * 10_000 + 100 * 30_000
    call.finish(Usage(input=1, output=1))
    outcome = only(ledger).outcome
    assert (outcome.cost, outcome.usage.trust) == (40_000, Trust.ESTIMATED)


def test_the_policy_free_lets_an_unknown_model_pass_and_says_so(make: Make, ledger: Ledger) -> None:
    tracker = make(Budget("global", 0), unknown_model=parse_unknown_model("free"))
    tracker.start(spec("gpt-99")).finish(Usage(input=1))
    assert only(ledger).outcome.usage.trust is Trust.UNPRICED
    (total,) = ledger.totals([])
    assert total.unpriced == 1


def test_a_local_model_is_free_under_a_budget(make: Make, ledger: Ledger) -> None:
    make(Budget("global", 0)).start(spec("my-llama", provider="ollama")).finish(Usage(input=1))
    assert only(ledger).outcome.usage.trust is Trust.PROVIDER


def test_a_budget_of_a_provider_covers_models_priced_by_a_stand_in(make: Make) -> None:
    tracker = make(Budget("provider:together_ai", 0))
    with pytest.raises(BudgetExceeded):
        tracker.start(spec(provider="together"))
    tracker.start(spec(provider="openai"))


def test_a_thread_never_waits_for_a_call_of_its_own(make: Make) -> None:
    tracker = make(Budget("global", "0.0035"), hold_wait=timedelta(seconds=30))
    tracker.start(spec())
    started = time.monotonic()
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())
    assert time.monotonic() - started < 5


def test_a_thread_waits_for_a_call_of_another(make: Make) -> None:
    tracker = make(Budget("global", "0.0035"), hold_wait=timedelta(seconds=30))
    held = threading.Event()

    def other() -> None:
        call = tracker.start(spec())
        held.set()
        time.sleep(0.1)
        call.finish(Usage())

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(other)
        held.wait(10)
        tracker.start(spec()).release()
        done.result()


def test_of_thirty_two_threads_exactly_as_many_pass_as_the_budget_pays_for(make: Make) -> None:
    tracker = make(Budget("global", "0.035"))
    ready = threading.Barrier(32)

    def one(_: int) -> bool:
        ready.wait()
        try:
            tracker.start(spec())
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(one, range(32))) == 10
    (status,) = tracker.budgets()
    assert status.holds == 10
    assert status.left == 0


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def break_it(make: Make, ledger: Ledger, path: Path) -> tuple[CostTracker, Any]:
    tracker = make(Budget("global", 1))
    call = tracker.start(spec())
    ledger.close()
    path.write_bytes(b"damaged" * 1000)
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    return tracker, call


@pytest.mark.parametrize("end", ["finish", "cached", "fail", "abort", "release"])
def test_no_end_of_a_call_raises_when_the_ledger_breaks(
    make: Make, ledger: Ledger, broken: Path, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, call = break_it(make, ledger, broken)
    ends: dict[str, Callable[[], object]] = {
        "finish": lambda: call.finish(Usage(input=1)),
        "cached": lambda: call.cached(Usage(input=1)),
        "fail": lambda: call.fail(KeyError("x")),
        "abort": lambda: call.abort(streamed_bytes=None),
        "release": call.release,
    }
    assert ends[end]() is None
    assert tracker.failures == 1
    assert ends[end]() is None
    assert tracker.failures == 1
    assert call.spec.id in caplog.text


def test_no_call_is_started_when_the_ledger_is_broken(
    make: Make, ledger: Ledger, broken: Path
) -> None:
    tracker, _ = break_it(make, ledger, broken)
    with pytest.raises(LedgerUnavailable):
        tracker.start(spec())


def test_the_default_tracker_is_built_once_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMCOST_LEDGER", f"sqlite:///{tmp_path}/own.db")
    monkeypatch.setenv("LLMCOST_BUDGETS", "global=5/day")
    former = set_default_tracker(None)
    try:
        tracker = default_tracker()
        assert default_tracker() is tracker
        assert [status.scope for status in tracker.budgets()] == ["global"]
        assert set_default_tracker(None) is tracker
        assert default_tracker() is not tracker
    finally:
        set_default_tracker(former)


def test_a_call_that_outlives_its_lease_is_corrected_even_after_very_many_newer_ones(
    make: Make, ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make(call_max=timedelta(seconds=60))
    late = tracker.start(spec(id="late"))
    clock.advance(61)
    # So many that the tracker forgets what the ledger counts as lost.
    for _ in range(1100):
        tracker.start(spec())
    assert tracker.find("late") is None
    outcome = late.finish(Usage(input=1000))
    found = [entry.outcome for entry in ledger.entries() if entry.call.id == "late"]
    assert [each.status for each in found] == [Status.LOST, Status.CORRECTION]
    assert sum(each.cost for each in found) == 2_500_000
    assert outcome is not None
    assert late.finish(Usage(input=5)) is outcome


def test_a_kept_refusal_holds_on_to_no_frame_of_the_call(make: Make) -> None:
    tracker = make(Budget("global", 0))
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())
    assert [kept.__traceback__ for kept in tracker.tripped] == [None]


def stated(**entries: dict[str, Any]) -> Catalog:
    """Return the catalog with entries of the user's own laid over it."""
    models = {**packaged_snapshot().models}
    for name, entry in entries.items():
        key = name.replace("__", "/").replace("_", "-")
        models[key] = {**models.get(key, {}), **entry, "stated_by_user": True}
    return Catalog(replace(packaged_snapshot(), models=models))


def test_an_entry_keeps_the_prices_that_it_was_computed_from(make: Make, ledger: Ledger) -> None:
    make().start(spec()).finish(Usage(input=10, output=5))
    entry = only(ledger).outcome
    assert entry.lines == (Line("input", 10, 25 * 10**17), Line("output", 5, 10**19))
    assert entry.fingerprint == CATALOG.fingerprint
    assert sum(line.amount for line in entry.lines) == entry.cost * 10**15


def test_a_cost_that_the_provider_states_is_kept_beside_ours(make: Make, ledger: Ledger) -> None:
    make().start(spec()).finish(Usage(input=10, stated_cost=Decimal("0.001")))
    assert only(ledger).outcome.cost == 25_000
    assert only(ledger).outcome.usage.stated_cost == Decimal("0.001")


def test_a_cost_that_the_provider_states_counts_when_asked_for(make: Make, ledger: Ledger) -> None:
    tracker = make(Budget("global", 1), prefer_stated_cost=True)
    tracker.start(spec()).finish(Usage(input=10, stated_cost=Decimal("0.0010000005")))
    outcome = only(ledger).outcome
    assert (outcome.cost, outcome.lines) == (1_000_000, ())
    assert outcome.detail == "the cost is the one that the provider states"
    tracker.start(spec()).finish(Usage(input=10))
    assert [entry.outcome.cost for entry in ledger.entries()] == [1_000_000, 25_000]


def test_a_cost_that_the_provider_states_stands_in_for_an_unknown_price(
    make: Make, ledger: Ledger
) -> None:
    make().start(spec("gpt-99")).finish(Usage(input=10, stated_cost=Decimal("0.001")))
    outcome = only(ledger).outcome
    assert (outcome.cost, outcome.usage.trust) == (1_000_000, Trust.PROVIDER)


def test_a_stated_cost_of_nothing_is_no_price(make: Make, ledger: Ledger) -> None:
    make().start(spec("gpt-99")).finish(Usage(input=10, stated_cost=Decimal(0)))
    assert only(ledger).outcome.usage.trust is Trust.UNPRICED
    make(prefer_stated_cost=True).start(spec()).finish(Usage(input=10, stated_cost=Decimal(0)))
    assert [entry.outcome.cost for entry in ledger.entries()] == [0, 0]


def test_a_part_without_a_price_makes_the_whole_unpriced_and_is_named(
    make: Make, ledger: Ledger
) -> None:
    make().start(spec()).finish(Usage(input=10, other={"web_search": 2}))
    outcome = only(ledger).outcome
    assert (outcome.cost, outcome.usage.trust) == (25_000, Trust.UNPRICED)
    assert outcome.detail == "no price for web_search"


def test_what_is_odd_about_a_report_is_written_down(make: Make, ledger: Ledger) -> None:
    make().start(spec()).finish(Usage.from_totals(10, 0, cache_read=20))
    outcome = only(ledger).outcome
    assert (outcome.cost, outcome.usage.trust) == (20 * 1250, Trust.INCONSISTENT)
    assert outcome.detail == "20 tokens of parts in a prompt of 10"


def test_a_price_that_was_not_matched_exactly_says_what_it_was_taken_from(
    make: Make, ledger: Ledger
) -> None:
    make().start(spec("gpt-4o-2099-01-01")).finish(Usage(input=1))
    assert only(ledger).outcome.detail == "priced as gpt-4o"


def test_the_users_own_price_is_not_replaced_by_the_list_price_of_what_was_served(
    make: Make, ledger: Ledger
) -> None:
    tracker = make(catalog=stated(gpt_4o={"input_cost_per_token": 1e-6}))
    tracker.start(spec()).finish(Usage(input=1), "gpt-4o-2024-05-13")
    assert only(ledger).outcome.cost == 1000


def test_the_users_own_price_of_what_was_served_counts(make: Make, ledger: Ledger) -> None:
    tracker = make(
        catalog=stated(
            gpt_4o={"input_cost_per_token": 1e-6},
            gpt_4o_2024_05_13={"input_cost_per_token": 2e-6},
        )
    )
    tracker.start(spec()).finish(Usage(input=1), "gpt-4o-2024-05-13")
    assert only(ledger).outcome.cost == 2000


def test_off_peak_prices_go_by_when_the_call_was_held(
    make: Make, ledger: Ledger, clock: FakeClock
) -> None:
    night = {"hours_utc": "12:00-12:30", "input_cost_per_token": 1e-9}
    tracker = make(catalog=stated(gpt_4o={"off_peak_pricing": night}))
    call = tracker.start(spec())
    assert call.estimate.nano == MOST
    clock.advance(timedelta(hours=1))
    call.finish(Usage(input=10))
    tracker.start(spec()).finish(Usage(input=10))
    assert [entry.outcome.cost for entry in ledger.entries()] == [10, 25_000]


LONG = "The quick brown fox jumps over the lazy dog. " * 20


def sized(tracker: CostTracker, model: str, text: str = LONG) -> CallSize:
    sizer = tracker.sizer(model)
    sizer.message()
    sizer.text(text)
    return sizer.size(100)


@pytest.mark.parametrize(
    ("mode", "model", "expected"),
    [
        (Mode.BOUND, "gpt-4o", (Mode.BOUND, 64 + 900)),
        (Mode.EXACT, "gpt-4o", (Mode.EXACT, 64 + 201)),
        (Mode.EXACT, "claude-sonnet-4-5", (Mode.BOUND, 64 + 900)),
        (Mode.CALIBRATED, "gpt-4o", (Mode.EXACT, 64 + 201)),
        (Mode.CALIBRATED, "claude-sonnet-4-5", (Mode.BOUND, 64 + 900)),
    ],
)
def test_a_prompt_is_measured_as_the_settings_say(
    make: Make, mode: Mode, model: str, expected: tuple[Mode, int]
) -> None:
    pytest.importorskip("tiktoken")
    tracker = make(estimate_mode=mode)
    call = tracker.start(spec(model, provider=None, size=sized(tracker, model)))
    assert (call.estimate.mode, call.estimate.prompt) == expected


def test_a_calibrated_estimate_learns_from_twenty_calls_and_forgets_nothing(
    make: Make, ledger: Ledger
) -> None:
    tracker, other = make(estimate_mode=Mode.CALIBRATED), make(estimate_mode=Mode.CALIBRATED)
    model = "claude-sonnet-4-5"

    def call(by: CostTracker, prompt: int, trust: Trust = Trust.PROVIDER) -> Mode:
        opened = by.start(spec(model, provider=None, size=sized(by, model)))
        opened.finish(Usage(input=prompt, trust=trust))
        return opened.estimate.mode

    assert [call(tracker, 64 + 200) for _ in range(20)] == [Mode.BOUND] * 20
    assert call(tracker, 64 + 300) is Mode.CALIBRATED
    assert call(tracker, 64 + 10) is Mode.CALIBRATED
    assert call(tracker, 64 + 880, Trust.ESTIMATED) is Mode.CALIBRATED
    measure = sized(tracker, model).measure
    (known,) = ledger.learned().items()
    assert known[0] == (model, measure)
    base = sized(tracker, model).measured
    assert (known[1].ratio, known[1].seen) == (300 * 1_000_000 // base, 21)
    opened = other.start(spec(model, provider=None, size=sized(other, model)))
    assert opened.estimate.mode is Mode.CALIBRATED
    assert opened.estimate.prompt == 64 + 345  # 300 tokens and 15 %


def test_a_ledger_that_cannot_learn_costs_no_answer(make: Make, ledger: Ledger) -> None:
    tracker = make(estimate_mode=Mode.CALIBRATED)
    model = "claude-sonnet-4-5"
    call = tracker.start(spec(model, provider=None, size=sized(tracker, model)))

    def broken(*_: object) -> None:
        msg = "no room"
        raise LedgerUnavailable(msg)

    tracker._parts.billing._calibration._ledger = SimpleNamespace(learn=broken)  # type: ignore[union-attr]  # a store that broke
    assert call.finish(Usage(input=200)) is not None
    assert tracker.failures == 1
    assert only(ledger).outcome.status is Status.OK


def test_a_call_that_was_handed_on_is_counted_where_it_is_made(make: Make) -> None:
    tracker = make(Budget("global", "0.004", "day"))  # room for one hold
    outer = tracker.start(spec(id="outer", handed_on=True))
    inner = tracker.start(spec(id="inner"))
    assert outer.ended
    inner.finish(Usage(input=1))
    outer.finish(Usage(input=1))
    assert [entry.call.id for entry in tracker.ledger.entries()] == ["inner"]


def test_a_call_that_was_handed_on_unseen_counts_itself(make: Make) -> None:
    tracker = make()
    tracker.start(spec(id="outer", handed_on=True)).finish(Usage(input=1))
    tracker.start(spec(id="next")).finish(Usage(input=1))
    assert [entry.call.id for entry in tracker.ledger.entries()] == ["outer", "next"]


def test_what_a_late_call_is_estimated_at_has_its_prompt(make: Make) -> None:
    assert make().start_late(spec()).estimated_usage(7).input == SIZE.prompt_bound

"""Reports of random calls: every grouping and span adds up to the entries."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Ledger, Outcome, Status, open_ledger
from llmcost_plugins.periods import Window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.usage import Trust, Usage

START = datetime(2026, 3, 28, 12, tzinfo=UTC)  # clocks change in Europe in the night after
SPAN = timedelta(days=2)
ZONES = st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")])
GROUPS = ["model", "provider", "feature", "team", "status", "user", "session", "day", "hour"]
GROUPINGS = st.lists(
    st.sampled_from([*GROUPS, "label.region"]), max_size=3, unique=True
)  # not tags: a call may be in several rows
INSTANTS = st.timedeltas(timedelta(0), SPAN).map(lambda after: START + after)
HALF_HOURS = st.integers(0, 96).map(lambda slots: START + slots * timedelta(minutes=30))
VALUES = st.dictionaries(
    st.sampled_from(["feature", "team", "user", "session", "region"]), st.sampled_from("ab")
)
STATUSES = st.sampled_from([Status.OK, Status.CACHED, Status.ERROR, Status.ABORTED])


@st.composite
def calls(draw: st.DrawFn) -> tuple[Call, Outcome]:
    model = draw(st.sampled_from(["m", "n"]))
    labels = Labels(draw(VALUES), tuple(draw(st.lists(st.sampled_from("xy"), unique=True))))
    at = draw(INSTANTS | HALF_HOURS)
    usage = Usage(
        input=draw(st.integers(0, 10**6)),
        output=draw(st.integers(0, 10**6)),
        trust=draw(st.sampled_from(Trust)),
    )
    status = draw(STATUSES)
    cost, saved = draw(st.integers(0, 10**15)), draw(st.integers(0, 10**15))
    preferred = draw(st.none() | st.integers(0, 10**15))
    outcome = Outcome(status, usage, cost, at, saved=saved, preferred_cost=preferred)
    return Call(draw(st.uuids()).hex, at, model, model, "p", labels, "run"), outcome


def _recorded(folder: str, zone: tzinfo, found: Sequence[tuple[Call, Outcome]]) -> Ledger:
    ledger = open_ledger(f"sqlite:///{Path(folder) / 'ledger.db'}", zone)
    for call, outcome in found:
        ledger.record(call, outcome, [])
    return ledger


@settings(max_examples=60)
@given(
    found=st.lists(calls(), max_size=12),
    by=GROUPINGS,
    zone=ZONES,
    ends=st.tuples(st.none() | INSTANTS | HALF_HOURS, st.none() | INSTANTS | HALF_HOURS),
)
def test_the_rows_and_the_total_of_any_span_are_the_sums_of_its_entries(
    found: list[tuple[Call, Outcome]],
    by: list[str],
    zone: tzinfo,
    ends: tuple[datetime | None, datetime | None],
) -> None:
    since, until = ends
    with TemporaryDirectory() as folder, _recorded(folder, zone, found) as ledger:
        report = CostReporter(ledger, zone).over(Window(since, until), by)
    inside = [
        outcome
        for call, outcome in found
        if (since is None or call.at >= since) and (until is None or call.at < until)
    ]
    spent = Fraction(sum(outcome.cost for outcome in inside), 10**9)
    assert Fraction(report.total.cost) == spent
    assert sum(Fraction(row.cost) for row in report.rows) == spent
    assert report.total.calls == sum(row.calls for row in report.rows) == len(inside)
    unpriced = sum(outcome.usage.trust is Trust.UNPRICED for outcome in inside)
    assert report.total.unpriced == sum(row.unpriced for row in report.rows) == unpriced
    assert len({row.group for row in report.rows}) == len(report.rows)


@settings(max_examples=30)
@given(found=st.lists(calls(), max_size=8), zone=ZONES)
def test_a_call_is_in_the_row_of_each_of_its_tags(
    found: list[tuple[Call, Outcome]], zone: tzinfo
) -> None:
    with TemporaryDirectory() as folder, _recorded(folder, zone, found) as ledger:
        report = CostReporter(ledger, zone).over(Window(None, None), ["tag"])
    rows = {row.group[0]: row.calls for row in report.rows}
    for tag in ("x", "y"):
        assert rows.get(tag, 0) == sum(tag in call.labels.tags for call, _ in found)
    assert rows.get("", 0) == sum(not call.labels.tags for call, _ in found)
    assert report.total.calls == len(found)

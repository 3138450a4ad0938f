"""Say how the month will end and what another model would have cost, and put it on a page."""

import tempfile
from datetime import timedelta
from pathlib import Path

from llmcost_plugins import CostReporter, CostTracker, Usage
from llmcost_plugins.overview import overview
from llmcost_plugins.page import report_page, write_page
from llmcost_plugins.simulate import CAVEAT, other_models, simulate

with tempfile.TemporaryDirectory() as folder:
    ledger = f"sqlite:///{Path(folder) / 'ledger.db'}"
    tracker = CostTracker.from_env(ledger=ledger, budgets="global=150/month")
    now = tracker.now()
    for ago in range(60):  # two months of calls; with less, the forecast says what it cannot know
        at = now - timedelta(days=ago)
        usage = Usage(input=400_000 + 60_000 * (ago * 7 % 11), output=40_000)
        tracker.record_usage("gpt-4o", usage, request_id=f"r{ago}", at=at, feature="chat")

    forecaster = tracker.forecaster()
    (total,) = forecaster.spend(period="month")
    print(f"{total.spent:.2f} USD so far; {total.expected:.2f} at the end of the month")
    print(f"80 % of months like this: {total.low:.2f} to {total.high:.2f} ({total.basis})")
    for one in forecaster.budgets():
        print(f"{one.scope}: {one.limit} USD, runs out: {one.runs_out_at or 'not this month'}")

    cheaper = other_models(tracker.catalog, {"gpt-4o": "gpt-4o-mini"})
    found = simulate(tracker.ledger, cheaper)
    print(f"with gpt-4o-mini {found.simulated:.2f} instead of {found.spent:.2f} USD: {CAVEAT}")

    reporter = CostReporter(tracker.ledger, tracker.zone)
    report = reporter.report((), "month", now=now)
    ahead = forecaster.rest_of(report.span)  # days to come are dashed, the end has a band
    page = report_page(overview(reporter, report, now=now, forecast=ahead))
    write_page(Path(folder) / "spend.html", page)
    print(f"a page of {len(page):,} characters")
    assert total.basis.is_sure
    assert found.simulated < found.spent
    tracker.close()

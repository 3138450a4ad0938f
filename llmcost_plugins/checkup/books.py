"""What stands in the ledger, and what should stand there."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from llmcost_plugins.alerts.outbox import KEPT_TRYING
from llmcost_plugins.checkup.facts import Fact
from llmcost_plugins.failure_log import FailureLog
from llmcost_plugins.ledger import Ledger, Status
from llmcost_plugins.limits import Limits
from llmcost_plugins.money import format_usd
from llmcost_plugins.reports import spend
from llmcost_plugins.settings import Settings
from llmcost_plugins.spool import Spool

_MONTH: Final = timedelta(days=30)
_DAY: Final = timedelta(days=1)


def holds(store: Ledger, now: datetime) -> Iterator[Fact]:
    """Yield what is held, and whether some of it is of calls that nobody sees alive."""
    held = store.holds()
    amount = sum(hold.charge.usd for hold in held)
    yield Fact("ledger", "calls in flight", f"{len(held)}, {format_usd(amount)} held")
    expired = sum(hold.lease_until < now for hold in held)
    why = f"the leases of {expired} calls have ended: their processes are gone" if expired else ""
    remedy = (
        "'llmcost ledger holds' says whose they are; 'llmcost budgets' counts them as lost, as "
        "the next call does"
    )
    yield Fact("ledger", "expired holds", str(expired), "", why, remedy if why else "")


def budgets(settings: Settings, store: Ledger, now: datetime) -> Iterator[Fact]:
    """Yield the budgets in force with their sources, and where those differ."""
    stated = {budget.key: budget for budget in settings.budgets_in_force()}
    found = Limits(store, stated.values(), settings.timezone).in_force(now)
    for one in found:
        scope, per, unit = one.key
        name = f"{scope} per {per} in {unit}"
        shown = "none" if one.budget is None else str(one.budget)
        source = settings.budget_source(one.key) if one.source == "settings" else one.source
        other = stated.get(one.key, one.budget)
        why = remedy = ""
        if other != one.budget:
            where, options = settings.budget_source(one.key), f"{scope!r} --per {per} --unit {unit}"
            why = f"the ledger's is in force; {where} says {other}"
            remedy = f"state the same there, or drop the ledger's: llmcost budgets reset {options}"
        yield Fact("budgets", name, shown, source, why, remedy)
    if not found:
        yield Fact("budgets", "any", "none: nothing is limited")
    yield Fact("budgets", "set in code", "known to the processes that set them alone")


def entries(settings: Settings, store: Ledger, now: datetime) -> Iterator[Fact]:
    """Yield what is missing in the sums of the last 30 days."""
    since = now - _MONTH
    rows = spend(store, ["model"], zone=settings.timezone, since=since)
    unpriced = [row for row in rows if row.unpriced > 0]
    for row in unpriced:
        (model,) = row.group
        why = f"{row.unpriced} calls to {model!r} of the last 30 days have no price"
        remedy = (
            "state one in the file of LLMCOST_PRICES, or run 'llmcost prices update'; then "
            "'llmcost ledger reprice --apply'"
        )
        yield Fact("records", "unpriced", f"{row.unpriced} calls to {model}", "", why, remedy)
    if not unpriced:
        yield Fact("records", "unpriced", "none in 30 days")
    lost = _lost(settings, store, since)
    # Nothing takes them back, so that they are news for a day only.
    recent = _lost(settings, store, now - _DAY)
    why = f"{recent} calls of the last day counted as lost, at what was held for them"
    remedy = "see whether processes were killed, or calls never finished or released"
    finding = (why, remedy) if recent else ("", "")
    yield Fact("records", "lost", f"{lost} in 30 days, {recent} in the last", "", *finding)


def _lost(settings: Settings, store: Ledger, since: datetime) -> int:
    rows = spend(store, ["status"], zone=settings.timezone, since=since)
    return sum(row.calls for row in rows if row.group == (Status.LOST.value,))


def spool(settings: Settings) -> Iterator[Fact]:
    """Yield the entries of paid calls that wait outside of the ledger."""
    waiting = Spool(settings.spool_folders()).waiting()
    where = ", ".join(sorted({str(path.parent) for path in waiting.files}))
    why = f"{waiting.entries} entries of paid calls are not in the ledger" if where else ""
    remedy = (
        "the next call of a process writes them; if they stay, the ledger cannot be written, or "
        "this user cannot read them"
    )
    value = f"{waiting.entries} entries"
    yield Fact("records", "waiting in the spool", value, where, why, remedy if why else "")
    for path in waiting.damaged:
        why = f"{str(path)!r} has lines of a spool that cannot be read"
        remedy = "record their calls with 'llmcost ledger import', then delete the file"
        yield Fact("records", "damaged in the spool", path.name, str(path.parent), why, remedy)


def failures(settings: Settings, now: datetime) -> Iterator[Fact]:
    """Yield what recorders, gates and routers of all processes could not do."""
    month = FailureLog(settings.spool_folders()).since(now - _MONTH)
    # As with lost calls: news for a day only.
    day = [one for one in month if one.at >= now - _DAY]
    counted, recent = (sum(one.times for one in some) for some in (month, day))
    value = f"{counted} in 30 days, {recent} in the last"
    yield Fact("records", "failures of the bookkeeping", value)
    for what, error in sorted({(one.what, one.error) for one in day}):
        alike = [one for one in day if (one.what, one.error) == (what, error)]
        times, last = sum(one.times for one in alike), alike[-1]
        why = f"{what}{f' ({error})' if error else ''}"
        remedy = (
            "read the log of that process ('llmcost_plugins'); what a recorder could not follow "
            "counts at its hold, or as lost"
        )
        value = f"{times} times, the last at {last.at.isoformat(timespec='seconds')}"
        yield Fact("records", "failure", value, last.process, why, remedy)


def alerts(settings: Settings, store: Ledger, now: datetime) -> Iterator[Fact]:
    """Yield the alerts that could not be delivered."""
    waiting = [alert for alert in store.alerts() if alert.sent_at is None]
    hook = bool(settings.alert_webhook)
    source = "" if hook else "no webhook is set here"
    yield Fact("alerts", "waiting", str(len(waiting)), source)
    for alert in waiting:
        given_up = hook and alert.at < now - KEPT_TRYING
        if alert.failure or given_up:
            what = str(json.loads(alert.payload)["text"])
            why = f"{alert.tries} tries have failed: {alert.failure}"
            if not alert.failure:
                why = f"it has waited for over {KEPT_TRYING.days} days"
            remedy = "try the webhook with 'llmcost alerts test', then 'llmcost alerts flush'"
            yield Fact("alerts", "not delivered", what, alert.at.isoformat(), why, remedy)

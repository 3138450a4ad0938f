"""``llmcost budgets``: how budgets stand; set, remove and try them."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

import click

from llmcost_plugins.budgets import Budget, BudgetKey, Unit, read_budgets
from llmcost_plugins.cli.lazy_group import Group
from llmcost_plugins.cli.options import format_option, say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.limits import Limits
from llmcost_plugins.periods import Period
from llmcost_plugins.reports import budget_statuses
from llmcost_plugins.settings import Settings
from llmcost_plugins.standing import decide
from llmcost_plugins.tables import (
    Format,
    budget_records,
    budget_table,
    plain_console,
    plain_table,
    show,
)

_REFUSED = 1


@click.group(cls=Group, invoke_without_command=True)
@format_option
@click.pass_context
def budgets(context: click.Context, form: str) -> None:
    """Show each budget: its limit, what is spent and held, what is left."""
    if context.invoked_subcommand is not None:
        return
    with _opened() as (settings, store):
        now = utc_now()
        book = _limits(settings, store).book(now)
        statuses = budget_statuses(store, book.budgets, now, settings.timezone)
        say_if_empty(store, settings)
    if not book.budgets:
        click.echo("no budget is set, here or in the ledger: nothing is limited", err=True)
    show(budget_records(statuses), lambda: budget_table(statuses), Format(form), plain_console())


@budgets.command(name="set")
@click.argument("budget")
def set_command(budget: str) -> None:
    """Set BUDGET for all processes that share the ledger, e.g. 'user:*=2/day:raise'.

    It wins over one of code, environment or file that covers the same, until it is removed or
    reset. Every process goes by it within a second.
    """
    found = read_budgets(budget)
    if len(found) != 1:
        msg = f"{budget!r} is not one budget; a good value is 'user:*=2/day:raise'"
        raise ConfigurationError(msg)
    (one,) = found
    with _opened() as (settings, store):
        kept = one.with_defaults(settings.on_exceed, settings.degrade_at)
        store.set_budget(kept.key, kept, who=getpass.getuser(), at=utc_now())
    click.echo(f"set {kept}", err=True)


_per = click.option(
    "--per",
    type=click.Choice([period.value for period in Period]),
    default=Period.TOTAL.value,
    show_default=True,
    help="Its period.",
)
_unit = click.option(
    "--unit",
    type=click.Choice([unit.value for unit in Unit]),
    default=Unit.USD.value,
    show_default=True,
    help="What it counts.",
)


@budgets.command(name="remove")
@click.argument("scope")
@_per
@_unit
def remove_command(scope: str, per: str, unit: str) -> int:
    """Let SCOPE have no such budget in any process, whatever code, environment and file say."""
    key = _key(scope, per, unit)
    with _opened() as (settings, store):
        if key not in {one.key for one in _limits(settings, store).in_force(utc_now())}:
            # Said, and done all the same: another process may have it from its code.
            click.echo(f"no budget {scope!r} per {per} in {unit} is known here", err=True)
        store.set_budget(key, None, who=getpass.getuser(), at=utc_now())
    click.echo(f"removed {scope!r} per {per} in {unit}", err=True)
    return 0


@budgets.command(name="reset")
@click.argument("scope")
@_per
@_unit
def reset_command(scope: str, per: str, unit: str) -> int:
    """Forget what was set or removed for SCOPE: code, environment and file decide again."""
    with _opened() as (_, store):
        known = store.exists() and store.unset_budget(
            _key(scope, per, unit), who=getpass.getuser(), at=utc_now()
        )
    what = "reset" if known else "nothing was set or removed for"
    click.echo(f"{what} {scope!r} per {per} in {unit}", err=True)
    return 0


@budgets.command(name="check")
@click.argument("scope")
@click.argument("amount")
def check_command(scope: str, amount: str) -> int:
    """Say whether a call of SCOPE (e.g. 'user:u1+feature:chat') for AMOUNT USD would fit.

    The exit status is 1 when it would not.
    """
    with _opened() as (settings, store):
        now = utc_now()
        decision = decide(store, _limits(settings, store).book(now), scope, amount, now)
    if decision.warning:
        click.echo(f"near or over: {decision.warning}", err=True)
    if decision.allowed:
        click.echo("it would fit")
        return 0
    click.echo(f"it would not fit ({decision.action}): {decision.reason}")
    return _REFUSED


@budgets.command(name="changes")
@format_option
def changes_command(form: str) -> None:
    """Show who changed a budget or erased something in the ledger, and when."""
    with _opened() as (settings, store):
        changes = store.changes() if store.exists() else []
        say_if_empty(store, settings)
    records = [
        {
            "at": change.at.isoformat(),
            "who": change.who,
            "what": change.what,
            "before": change.before,
            "after": change.after,
        }
        for change in changes
    ]
    table = plain_table("Changes")
    for heading in ("At (UTC)", "Who", "What", "Before", "After"):
        table.add_column(heading, overflow="fold")
    for change in changes:
        at = change.at.strftime("%Y-%m-%d %H:%M")
        table.add_row(at, change.who, change.what, change.before or "-", change.after or "-")
    show(records, lambda: table, Format(form), plain_console())


@contextmanager
def _opened() -> Iterator[tuple[Settings, Ledger]]:
    settings = Settings.from_env()
    with open_ledger(settings.ledger, settings.timezone) as store:
        yield settings, store


def _limits(settings: Settings, store: Ledger) -> Limits:
    return Limits(store, settings.budgets_in_force(), settings.timezone)


def _key(scope: str, per: str, unit: str) -> BudgetKey:
    # By way of a budget, so that a scope is read and checked in one place.
    return Budget(scope, 0, per, unit=unit).key

"""Is everything as it should be? Reads files and the environment; no network, and writes nothing.

Where there is no ledger yet, none is made, and one of an older version is left as it is.
"""

from collections.abc import Iterator
from datetime import datetime

from llmcost_plugins.checkup.adapters import adapters
from llmcost_plugins.checkup.books import alerts, budgets, entries, failures, holds, spool
from llmcost_plugins.checkup.facts import Checkup, Fact
from llmcost_plugins.checkup.files import cache_folder, ledger_file, no_ledger_yet, outdated
from llmcost_plugins.checkup.process import price_map, settings_in_force, versions
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.ledger.inspection import outdated_schema
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.settings import Settings

__all__ = ["Checkup", "Fact", "examine"]


def examine(settings: Settings, now: datetime, *, try_adapters: bool = False) -> Checkup:
    """Look at all that this library works with.

    Args:
        settings: those in force.
        now: the current instant.
        try_adapters: whether the adapters try themselves too, see `adapters`.

    Raises:
        ConfigurationError: the ledger's URL cannot be understood.
    """
    facts = [*versions(), *settings_in_force(settings), *price_map(settings, now)]
    if try_adapters:
        facts += adapters()
    unreadable = ""
    with open_ledger(settings.ledger, settings.timezone) as store:
        try:
            # One by one: what was seen before the ledger fails is shown.
            for fact in _stored(settings, store, now):
                facts.append(fact)
        except LedgerUnavailable as error:
            unreadable = str(error)
            remedy = "do what it says, then ask again: the rest of the ledger was not looked at"
            facts.append(Fact("ledger", "readable", "no", "", unreadable, remedy))
    facts += [*spool(settings), *failures(settings, now), *cache_folder(settings)]
    return Checkup(tuple(facts), unreadable)


def _stored(settings: Settings, store: Ledger, now: datetime) -> Iterator[Fact]:
    if not isinstance(store, SQLiteLedger):
        yield Fact("ledger", "file", "none: what is recorded is gone with its process")
        yield from budgets(settings, store, now)
    elif not store.exists():
        yield from no_ledger_yet(store.path)
        yield from budgets(settings, store, now)
    elif (version := outdated_schema(store.path)) is not None:
        yield outdated(store.path, version)
        # Not from this ledger: to open it would bring it up to date.
        yield from budgets(settings, open_ledger("memory://"), now)
    else:
        yield from ledger_file(store)
        yield from holds(store, now)
        yield from budgets(settings, store, now)
        yield from entries(settings, store, now)
        yield from alerts(settings, store, now)

"""The numbers of ``llmcost cache stats``."""

from collections.abc import Iterable

from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.money import usd_string, usd_to_nano
from llmcost_plugins.reports import ReportRow
from llmcost_plugins.tables import Record


def stats_records(
    entries: Iterable[CachedAnswer], spent: Iterable[ReportRow], by: str
) -> list[Record]:
    """Return what is stored and what it saved, one record for each model or feature.

    Args:
        entries: what is stored.
        spent: what the ledger says, grouped in the same way.
        by: ``model`` or ``feature``.
    """
    stored: dict[str, list[CachedAnswer]] = {}
    for entry in entries:
        name = str(getattr(entry, by)).encode("utf-8", "replace").decode()
        stored.setdefault(name, []).append(entry)
    used = {row.group[0]: row for row in spent if row.cached or row.group[0] in stored}
    return [_record(name, stored.get(name, []), used.get(name), by) for name in {**used, **stored}]


def _record(name: str, entries: list[CachedAnswer], row: ReportRow | None, by: str) -> Record:
    dates = sorted(entry.at for entry in entries)
    hits, calls = (row.cached, row.calls) if row else (0, 0)
    return {
        by: name,
        "stored": len(entries),
        "bought_usd": usd_string(sum(entry.cost or 0 for entry in entries)),
        "oldest": dates[0].isoformat(timespec="seconds") if dates else None,
        "newest": dates[-1].isoformat(timespec="seconds") if dates else None,
        "hits": hits,
        "hit_rate": f"{hits / calls:.3f}" if calls else None,
        "saved_usd": usd_string(usd_to_nano(row.saved)) if row else "0",
    }

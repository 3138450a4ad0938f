"""The store of entries, buckets and holds; the URL of `open_ledger` chooses which one."""

from datetime import UTC, tzinfo

from llmcost_plugins.ledger.base import (
    GROUPS,
    NO_CALL,
    Alert,
    BucketState,
    Call,
    Change,
    Charge,
    Entry,
    Hold,
    HoldResult,
    Learned,
    Ledger,
    OpenHold,
    Outcome,
    Settled,
    Status,
    Total,
    Used,
    original_id,
)

__all__ = [
    "GROUPS",
    "NO_CALL",
    "Alert",
    "BucketState",
    "Call",
    "Change",
    "Charge",
    "Entry",
    "Hold",
    "HoldResult",
    "Learned",
    "Ledger",
    "OpenHold",
    "Outcome",
    "Settled",
    "Status",
    "Total",
    "Used",
    "open_ledger",
    "original_id",
]


def open_ledger(url: str, zone: tzinfo = UTC) -> Ledger:
    """Open the ledger at *url*, creating it where there is none.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute/path.db``; with ``?sync=full`` every
            commit survives a loss of power, not only the death of the process. ``memory://`` is a
            new ledger at each call, gone with the process: other processes do not see it, and a
            forked child goes on with a copy of its own.
        zone: the time zone whose days the sums by user and session are kept in.

    Raises:
        ConfigurationError: the URL cannot be understood.
        LedgerUnavailable: the store cannot be opened.
    """
    if url == "memory://":
        from llmcost_plugins.ledger.memory import MemoryLedger

        return MemoryLedger(zone=zone)
    from llmcost_plugins.ledger.sqlite import SQLiteLedger

    return SQLiteLedger.from_url(url, zone)

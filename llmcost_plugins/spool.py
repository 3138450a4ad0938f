"""Entries of paid calls that the ledger could not take, kept in files until it can.

An entry is replayed exactly once however often its file is read: the ledger knows it by its call.
"""

import json
import logging
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from llmcost_plugins.budgets import Bucket, Unit
from llmcost_plugins.ledger import Call, Ledger, Outcome
from llmcost_plugins.ledger.rows import (
    budget_from,
    budget_row,
    call_from,
    call_row,
    outcome_from_json,
    outcome_to_json,
)
from llmcost_plugins.private_files import append_privately

_log: Final = logging.getLogger("llmcost_plugins")
_SUFFIX: Final = ".jsonl"
_DAMAGED: Final = ".damaged"
_LOOK_EVERY: Final = timedelta(seconds=1)


class Waiting(NamedTuple):
    """What waits in a spool.

    Attributes:
        entries: how many.
        files: the files that they are in.
        damaged: files of lines that could not be read.
    """

    entries: int
    files: tuple[Path, ...]
    damaged: tuple[Path, ...]


class Spool:
    """Folders of files, one a process, with a line for each entry of one ledger.

    Args:
        folders: where, the first that can be written; each belongs to one ledger only. Made 0700
            when the first entry comes, the files 0600.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._name = (0, "")
        self._look_at: datetime | None = None

    def add(self, call: Call, outcome: Outcome, buckets: Sequence[Bucket]) -> Path:
        """Keep an entry; return the file that it is in.

        Raises:
            OSError: it cannot be written anywhere.
        """
        line = json.dumps(
            {
                "v": 1,
                "id": call.id,
                "call": call_row(call),
                "outcome": outcome_to_json(outcome),
                "buckets": [_bucket_to_json(bucket) for bucket in buckets],
            },
            ensure_ascii=False,
        )
        failed: OSError | None = None
        for folder in self.folders:
            try:
                path = folder / self._mine()
                append_privately(path, f"{line}\n".encode(), durable=True)
            except OSError as error:
                failed = error
            else:
                self._look_at = None
                return path
        raise failed or OSError("there is no folder for it")

    def waits(self, now: datetime) -> bool:
        """Tell whether some entry waits; those of other processes are noticed within a second."""
        if self._look_at is not None and self._look_at - _LOOK_EVERY <= now < self._look_at:
            return False
        self._look_at = None if any(self._waiting()) else now + _LOOK_EVERY
        return self._look_at is None

    def waiting(self) -> Waiting:
        """Say what waits, for people; of a file that cannot be read, nothing is counted."""
        files = tuple(self._waiting())
        entries = 0
        for file in files:
            with suppress(OSError):  # another process was faster, or it is another user's
                entries += file.read_bytes().count(b"\n")
        return Waiting(entries, files, tuple(self._named(f"*{_DAMAGED}")))

    def replay(self, ledger: Ledger) -> int:
        """Write what waits into the ledger; return how many entries that were.

        Raises:
            LedgerUnavailable: the ledger still cannot take them; what it has not taken stays.
        """
        written = 0
        for path in list(self._waiting()):
            claimed = path.with_name(f"{path.name.split(_SUFFIX)[0]}{_SUFFIX}.{uuid.uuid4().hex}")
            with suppress(FileNotFoundError):  # another process was faster
                path.rename(claimed)
                written += self._replay_file(claimed, ledger)
        return written

    def _replay_file(self, path: Path, ledger: Ledger) -> int:
        written, damaged = 0, []
        for text in path.read_text("utf-8").splitlines():
            try:
                call, outcome, buckets = _entry_from(json.loads(text))
            except (ValueError, KeyError, TypeError):
                damaged.append(text)
                continue
            # Never held: charge it now. Held, or lost since: settle. Known: nothing.
            if ledger.record(call, outcome, buckets) or ledger.settle(call, outcome) is not None:
                written += 1
        if damaged:
            kept = path.with_name(f"{path.name}{_DAMAGED}".replace(_SUFFIX, ""))
            kept.write_text("\n".join([*damaged, ""]), "utf-8")
            _log.error(
                "%d lines of a spool cannot be read; they are kept in %s", len(damaged), kept
            )
        path.unlink()
        return written

    def _waiting(self) -> Iterator[Path]:
        return self._named(f"*{_SUFFIX}*")

    def _named(self, pattern: str) -> Iterator[Path]:
        for folder in self.folders:
            with suppress(OSError):  # one that cannot be looked into has nothing for us
                yield from folder.glob(pattern)

    def _mine(self) -> str:
        pid = os.getpid()
        if self._name[0] != pid:
            self._name = (pid, f"{socket.gethostname()}-{pid}-{uuid.uuid4().hex[:8]}{_SUFFIX}")
        return self._name[1]


def _bucket_to_json(bucket: Bucket) -> dict[str, Any]:
    return {
        "key": bucket.key,
        "scope": bucket.scope,
        "limit": bucket.limit,
        "starts_at": bucket.starts_at.isoformat() if bucket.starts_at else None,
        "resets_at": bucket.resets_at.isoformat() if bucket.resets_at else None,
        "match": dict(bucket.match),
        "budget": budget_row(bucket.budget),
    }


def _entry_from(line: dict[str, Any]) -> tuple[Call, Outcome, list[Bucket]]:
    call = call_from(line["id"], tuple(line["call"]))
    return call, outcome_from_json(line["outcome"]), [_bucket_from(b) for b in line["buckets"]]


def _bucket_from(facts: dict[str, Any]) -> Bucket:
    budget = budget_from(facts["budget"])
    if budget is None:
        msg = "a bucket without a budget"
        raise ValueError(msg)
    starts, resets = (
        datetime.fromisoformat(text) if text else None
        for text in (facts["starts_at"], facts["resets_at"])
    )
    return Bucket(
        key=facts["key"],
        scope=facts["scope"],
        limit=facts["limit"],
        starts_at=starts,
        resets_at=resets,
        match=facts["match"],
        budget=budget,
        unit=Unit(budget.unit),
    )

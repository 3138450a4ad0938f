"""Maintenance of an SQLite ledger: verify, purge, erase, back up, give space back.

All of it may run while calls are made, in this process and in others. A ledger that does not exist
yet is not made by asking.
"""

import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from llmcost_plugins.errors import ConfigurationError, LedgerUnavailable
from llmcost_plugins.ledger.database import Database
from llmcost_plugins.ledger.erasure import Erasure, check_user
from llmcost_plugins.ledger.named_sql import Writing, named_sql
from llmcost_plugins.ledger.purging import Purge
from llmcost_plugins.ledger.slots import Days, from_micros
from llmcost_plugins.ledger.verification import Difference, find_differences

__all__ = ["DatabaseFacts", "Difference", "Upkeep", "Vacuumed"]

_PATIENCE_S: Final = 30.0
_CACHE: Final = "PRAGMA cache_size = -65536"


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What a vacuum has done.

    Attributes:
        before: bytes that the ledger's files took.
        after: bytes that they take now.
    """

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What there is to know of a ledger's file.

    Attributes:
        path: the file.
        size: bytes, those of its write-ahead log included.
        mode: its permissions, such as 0o600.
        schema: the version of its tables.
        journal_mode: ``wal``, unless the file system cannot do that.
        entries: how many there are.
        holds: how many calls are in flight.
        oldest: the first accounting time; `None` without entries.
        purged_before: up to where entries were deleted; `None` when none ever were.
    """

    path: Path
    size: int
    mode: int
    schema: int
    journal_mode: str
    entries: int
    holds: int
    oldest: datetime | None
    purged_before: datetime | None


class Upkeep:
    """The maintenance verbs of one ledger.

    Args:
        path: the ledger's file.
        writing: opens a transaction of the ledger.
        days: the days of the ledger's time zone.
    """

    def __init__(self, path: Path, writing: Writing, days: Days) -> None:
        self._path = path
        self._writing = writing
        self._days = days
        self._sql = named_sql("upkeep.sql")

    def verify(self) -> list[Difference]:
        """Compute again from the entries whatever is kept besides them; return what differs.

        What was spent and is held in each bucket, the sums by half hour and by day and person, the
        corrections, and the file itself. An empty list says that all is well. Writers are not held
        up. Sums older than the last purge cannot be checked any more. The ledger has to be opened
        in the time zone that it was written in.

        Raises:
            LedgerUnavailable: the file cannot be read at all.
        """
        if not self._path.exists():
            return []
        with self._own_database() as own:
            return own.read(lambda db: find_differences(db, self._sql, self._days))

    def purge(self, before: datetime, *, who: str, at: datetime) -> int:
        """Delete the entries with an accounting time before *before*; return how many.

        Sums and buckets stay as they are, so reports and budgets do not change; only what reads
        single entries (groupings that no sum is kept for, repricing) knows less. A correction stays
        as long as what it corrects, and the other way round.

        A bucket that a budget needs in the middle of its period is filled with what was spent
        there: from sums where these are as fine as the budget, and from entries otherwise. So no
        entry may go that lies in the open period of a bucket of the latter kind. Not covered, since
        they would forbid every purge: budgets without a period, and those that are set later. A
        bucket that such a budget makes after the purge counts what is left.

        The space is used for new entries; `vacuum` gives it back.

        Args:
            before: the first instant that is kept.
            who: the user of the machine, for the audit.
            at: now.

        Raises:
            ConfigurationError: *before* is in the future, or in such a period; the message names
                the latest instant that works.
        """
        if before > at:
            msg = (
                f"cannot purge up to {before.isoformat()}, which is in the future; the latest that "
                f"works is {at.isoformat()}"
            )
            raise ConfigurationError(msg)
        if not self._path.exists():
            return 0
        return Purge(before, self._writing, self._sql, self._days).run(who, at)

    def erase_user(self, user: str, *, who: str, at: datetime) -> int:
        """Take every trace of a person out of the ledger; return how many entries lost their name.

        The label ``user`` becomes ``(erased)`` there, as does any other with the same value but
        team, feature and project; session, tags and detail go; an id of a call or a run that
        contains the name as a word is replaced. Costs, tokens and the remaining labels stay, and
        with them every sum. The buckets of the person, of such runs, and of sessions that were
        theirs alone, are deleted, since the calls that they counted cannot be told any more; those
        that a call in flight is held in lose the name only. What was set for the person goes:
        budgets, and thresholds told. The audit notes a short hash of the name, and loses the name
        itself where a budget of the person was changed.

        In the end the file is written anew, as by `vacuum`, since older deletions may have left
        text in free pages; calls wait for that long. Left alone are backups, the spool, who did
        something by the audit, and calls in flight: one that ends later is written with the name
        that its process knows. The audit says how many there were; erase again when they have
        ended. After it was killed, or refused by a full disk, it may be done again as well.

        Args:
            user: the value of the label.
            who: the user of the machine, for the audit.
            at: now.

        Raises:
            ConfigurationError: *user* can be nobody's name.
            LedgerUnavailable: the ledger cannot be written, or someone reads it for so long that
                the write-ahead log cannot be emptied.
        """
        check_user(user)
        if not self._path.exists():
            return 0
        with self._own_database() as own:
            erased = Erasure(user, own, self._writing, self._sql, self._days).run(who, at)
            self._rewrite(own)
            return erased

    def vacuum(self) -> Vacuumed:
        """Write the file anew, without the space that deleted entries have left.

        Calls wait meanwhile: about five seconds for a million entries. The disk needs as much free
        space as the file takes, twice.

        Raises:
            LedgerUnavailable: the ledger is too busy, or the disk too full.
        """
        if not self._path.exists():
            return Vacuumed(0, 0)
        with self._own_database() as own:
            before = self._size()
            self._rewrite(own)
            return Vacuumed(before, self._size())

    def _rewrite(self, own: Database) -> None:
        own.read(lambda db: db.execute("VACUUM"))
        deadline = time.monotonic() + _PATIENCE_S
        # SQLite does not wait by itself while a writer moves the log's pages to the file.
        while own.read(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]):
            if time.monotonic() > deadline:
                msg = (
                    f"the ledger {str(self._path)!r} was written anew, but someone reads its old "
                    f"state for so long that it is not gone yet. Try again when they are done."
                )
                raise LedgerUnavailable(msg)
            time.sleep(0.01)

    def backup(self, path: Path) -> None:
        """Write a copy of the ledger as it is at this moment, without holding up writers.

        The copy can be opened as a ledger. Only its user can read it (0600). It appears under its
        name when it is whole.

        Raises:
            ConfigurationError: there is such a file already, or it cannot be written there.
            LedgerUnavailable: there is no ledger, or it cannot be read.
        """
        if not self._path.exists():
            msg = f"there is no ledger at {str(self._path)!r}; LLMCOST_LEDGER names the file in use"
            raise LedgerUnavailable(msg)
        if os.path.lexists(path):
            msg = f"the file {str(path)!r} exists; a backup needs a name that is free"
            raise ConfigurationError(msg)
        with self._own_database() as own, _private_place_for(path) as copy:
            own.read(lambda db: db.execute("VACUUM INTO ?", (str(copy),)))

    def database_facts(self) -> DatabaseFacts | None:
        """Return what there is to know of the file; `None` where there is none."""
        if not self._path.exists():
            return None
        with self._own_database() as own:
            return own.read(self._facts)

    def _facts(self, db: sqlite3.Connection) -> DatabaseFacts:
        def ask(question: str) -> Any:
            return db.execute(question).fetchone()

        entries, holds, oldest = ask(self._sql["facts"])
        purged = ask(self._sql["purged_before"])
        return DatabaseFacts(
            path=self._path,
            size=self._size(),
            mode=stat.S_IMODE(self._path.stat().st_mode),
            schema=ask("PRAGMA user_version")[0],
            journal_mode=ask("PRAGMA journal_mode")[0],
            entries=entries,
            holds=holds,
            oldest=None if oldest is None else from_micros(oldest),
            purged_before=None if purged is None else from_micros(purged[0]),
        )

    def _size(self) -> int:
        log = self._path.with_name(f"{self._path.name}-wal")
        return sum(file.stat().st_size for file in (self._path, log) if file.exists())

    @contextmanager
    def _own_database(self) -> Iterator[Database]:
        """Open the file apart from the ledger's connections, whose readers must not wait."""
        with closing(Database(self._path, full_sync=False)) as own:
            own.read(lambda db: db.execute(_CACHE))
            yield own


@contextmanager
def _private_place_for(path: Path) -> Iterator[Path]:
    """Yield where to write a file that becomes *path*, in a folder that nobody else can enter."""
    try:
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise _no_place(path, error) from error
    with folder as name:
        copy = Path(name) / "copy.db"
        yield copy
        try:
            copy.chmod(0o600)
            _to_disk(copy, os.O_RDWR)
            copy.rename(path)
            with suppress(OSError):  # Windows has no such thing for a folder
                _to_disk(path.parent, os.O_RDONLY)
        except OSError as error:
            raise _no_place(path, error) from error


def _to_disk(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_place(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the backup {str(path)!r} cannot be written: {error.strerror}. Name a file in a folder "
        f"that exists and that this user can write to."
    )

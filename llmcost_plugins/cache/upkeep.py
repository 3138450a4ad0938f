"""What lies in a cache folder, and removing some of it. For people: nothing here is fast."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from llmcost_plugins.cache.entries import BrokenEntry, CachedAnswer, unpack
from llmcost_plugins.cache.store import open_files


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of the cache's file.

    Attributes:
        key: its key, as text; that of a foreign row as Python writes it.
        size: bytes of its value.
        entry: what it holds; `None` when it is not sound.
        fault: why it is not.
    """

    key: str
    size: int
    entry: CachedAnswer | None
    fault: str = ""


def exists(folder: Path) -> bool:
    """Tell whether there is a cache in the folder; makes none."""
    return (folder / "cache.db").is_file()


def rows(folder: Path, size: int) -> Iterator[StoredRow]:
    """Yield what lies in the folder, oldest first.

    Raises:
        OSError: the folder cannot be used.
        sqlite3.Error: the file cannot be read.
    """
    with closing(open_files(folder, size)) as files:
        for key, raw, _, value in files.rows():
            yield _read(key, raw, value)


def remove(folder: Path, size: int, wanted: Callable[[StoredRow], bool]) -> int:
    """Remove rows for good, those that are not sound included if *wanted* says so.

    Returns:
        How many were removed.

    Raises:
        OSError: the folder cannot be used.
        sqlite3.Error: the file cannot be read.
    """
    count = 0
    with closing(open_files(folder, size)) as files:
        files.scrub()
        for key, raw, _, value in files.rows():
            if wanted(_read(key, raw, value)):
                files.remove_row(key, raw)
                count += 1
        files.settle()
    return count


def remove_all(folder: Path, size: int) -> int | None:
    """Remove everything; a file that is damaged as a whole, too.

    Returns:
        How many rows were removed; `None` when the file could not be read, and is gone.

    Raises:
        OSError: the folder cannot be used.
        sqlite3.OperationalError: the file is in use.
    """
    try:
        return remove(folder, size, lambda _: True)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        for name in ("cache.db", "cache.db-wal", "cache.db-shm"):
            (folder / name).unlink(missing_ok=True)
        return None


def _read(key: object, raw: int, value: object) -> StoredRow:
    size = len(value) if isinstance(value, bytes | str) else 0
    if not raw or not isinstance(key, str):
        return StoredRow(repr(key)[:40], size, None, "another program wrote its key")
    try:
        return StoredRow(key, size, unpack(key, value))
    except BrokenEntry as error:
        return StoredRow(key, size, None, str(error))

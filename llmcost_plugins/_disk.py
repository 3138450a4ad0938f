"""How completions lie in diskcache's database: bytes, never a pickle, never a file of their own."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import diskcache
from diskcache.core import MODE_RAW

_PAGE = 256


class ForeignRow:
    """Stands for a value that some other program has written."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no type hints
    """Stores strings as keys and bytes as values; a row of any other kind is refused unread.

    Values stay inside the database, whatever their size: a file beside it would be created with
    the umask's mode.
    """

    def remove(self, file_path: Any) -> None:
        """Leave alone the file that a foreign row names: no row of ours has one."""

    def put(self, key: Any) -> tuple[str, bool]:
        """Return the key as the database stores it."""
        if not isinstance(key, str):
            msg = f"a cache key is a string, not {key!r}"
            raise TypeError(msg)
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        """Return a stored key.

        Raises:
            OSError: the row is not one of ours; diskcache takes that as a missing row.
        """
        if not raw or not isinstance(key, str):
            msg = "the key of a foreign row"
            raise OSError(msg)
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, Any]:  # noqa: ARG002 - diskcache's signature
        """Return the value as the database stores it."""
        if not isinstance(value, bytes):
            msg = f"a cache value is bytes, not {type(value).__name__}"
            raise TypeError(msg)
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> "bytes | ForeignRow":  # noqa: ARG002 - diskcache's signature
        """Return a stored value, or a mark in place of one that is not ours.

        Not an error: diskcache would take it as a missing row, and the row would stay.
        """
        if mode != MODE_RAW or not isinstance(value, bytes):
            return ForeignRow()
        return value


class _Closer:
    """Closes a connection when the thread that it belongs to ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        # Collected by another thread, SQLite refuses; the connection then goes with its memory.
        with suppress(sqlite3.Error):
            self.connection.close()


class BytesCache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no type hints
    """diskcache's cache with `BytesDisk`, whose connections are closed with their threads.

    diskcache opens a connection for each thread and leaves it to the garbage collector.
    """

    def __init__(self, folder: str, **settings: Any) -> None:
        try:
            super().__init__(folder, disk=BytesDisk, **settings)
        except BaseException:
            # A damaged file is found by reading it: the connection is there already.
            with suppress(AttributeError):
                self.close()
            raise

    def rows(self) -> Iterator[tuple[Any, int, int, Any]]:
        """Yield key, raw, mode and value of every row as they lie in the file, oldest first."""
        # By place: what comes in meanwhile comes last, and a page at a time is in memory.
        after = 0
        select = "SELECT rowid, key, raw, mode, value FROM Cache WHERE rowid > ? ORDER BY rowid"
        while page := self._sql(f"{select} LIMIT {_PAGE}", (after,)).fetchall():
            for _, key, raw, mode, value in page:
                yield key, raw, mode, value
            after = page[-1][0]

    def remove_row(self, key: Any, raw: int) -> None:
        """Remove a row, whoever wrote it."""
        with self.transact():
            self._sql("DELETE FROM Cache WHERE key = ? AND raw = ?", (key, raw))

    def scrub(self) -> None:
        """Overwrite with zeros what is removed from now on."""
        self._sql("PRAGMA secure_delete = ON")

    def settle(self) -> None:
        """Empty the log that lies beside the file."""
        self._sql("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def _con(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._con
        closer = getattr(self._local, "closer", None)
        if closer is None or closer.connection is not connection:
            self._local.closer = _Closer(connection)
        return connection

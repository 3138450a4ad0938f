"""An SQLite file as a ledger needs it: private, write-ahead logged, safe to share and to fork."""

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar

from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger.mounts import MOUNTS, network_file_system

APPLICATION_ID: Final = 0x4C4C4D43
SCHEMA_VERSION: Final = 4
OLDEST_SQLITE: Final = (3, 37, 0)
BUSY_TIMEOUT_S: Final = 10.0
PAGE_BYTES: Final = 2048
"""Half of SQLite's usual size: a call changes eleven pages by a row each, and writes them whole."""
LOG_PAGES: Final = 4000
"""The log's length from which it is copied into the file, which waits for the disk twice. SQLite's
usual 1000 come after some 80 calls; from 4096 on, each look into the log takes longer."""

_T = TypeVar("_T")
_log: Final = logging.getLogger("llmcost_plugins")

_FileId = tuple[int, int]
"""What tells a file from another one of the same name: device and inode."""


class Database:
    """One SQLite file; one connection that writes and one that reads, opened at first use.

    Writers of one process queue at a lock in the process: SQLite's own waiting sleeps and retries,
    which is slow and unfair among threads. A long report has its own connection, so that it does
    not hold up the calls.

    Args:
        path: the file; it is created 0600, its folder 0700 if that does not exist yet.
        full_sync: whether each commit waits for the disk.
        mounts: where the file systems of this process are listed.
    """

    def __init__(self, path: Path, *, full_sync: bool, mounts: Path = MOUNTS) -> None:
        self.path = path
        self._full_sync = full_sync
        self._mounts = mounts
        # Reentrant: the garbage collector may run a stream's end inside a verb of the same thread.
        self._write_lock = threading.RLock()
        self._writing_thread: int | None = None
        self._read_lock = threading.Lock()
        self._opened: dict[sqlite3.Connection, _FileId] = {}
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        weakref.finalize(self, _close_all, self._opened)
        with _living_lock:
            _living.add(self)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction that no other writer can interleave with.

        Raises:
            LedgerUnavailable: the file cannot be opened or written.
        """
        if self.is_writing_here:
            msg = f"the ledger {str(self.path)!r} is asked again in the middle of one of its verbs"
            raise LedgerUnavailable(msg)
        with self._write_lock:
            try:
                connection = self._writer = self._usable(self._writer)
                self._writing_thread = threading.get_ident()
                try:
                    # Inside the try: an interrupt right after it must not leave the lock taken.
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):  # the error that led here is the one to report
                        connection.execute("ROLLBACK")
                    raise
            except (OSError, sqlite3.Error) as error:
                raise self.unavailable(error) from error
            finally:
                self._writing_thread = None

    @property
    def is_writing_here(self) -> bool:
        """Whether this very thread is inside a `writing` block."""
        return self._writing_thread == threading.get_ident()

    def read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run *query* on the reading connection.

        Raises:
            LedgerUnavailable: the file cannot be opened or read.
        """
        with self._read_lock:
            try:
                self._reader = self._usable(self._reader)
                return query(self._reader)
            except (OSError, sqlite3.Error) as error:
                raise self.unavailable(error) from error

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        with self._write_lock, self._read_lock:
            self._forget()

    def _forget(self) -> None:
        self._writer = self._reader = None
        _close_all(self._opened)

    def before_fork(self) -> None:
        """Finish what is under way and close; used by the hook below only."""
        self._write_lock.acquire()
        self._read_lock.acquire()
        self._forget()

    def after_fork(self) -> None:
        """Let parent and child go on, each with connections of its own."""
        self._read_lock.release()
        self._write_lock.release()

    def unavailable(self, error: OSError | sqlite3.Error) -> LedgerUnavailable:
        """Return the error that says why the file cannot be used, and what to do."""
        if isinstance(error, OSError):
            msg = (
                f"the ledger {str(self.path)!r} cannot be created: {error.strerror}. Set "
                f"LLMCOST_LEDGER to a file in a folder that this user can write to, such as "
                f"sqlite:////var/lib/myapp/llmcost.db"
            )
        else:
            msg = (
                f"the ledger {str(self.path)!r} cannot be used: {error}. {_remedy(error)} "
                f"LLMCOST_LEDGER names the file in use."
            )
        return LedgerUnavailable(msg)

    def _usable(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        """Return the connection, or a new one where it has none or its file is not there any more.

        SQLite would go on with a file that was deleted or replaced, while processes that start
        count in the one that has its name now: each would grant the whole limit.
        """
        # One that was closed here, and whose successor could not be opened, is not among them.
        if connection is not None and connection in self._opened:
            if self._opened[connection] == _file_id(self.path):
                return connection
            _log.warning(
                "the ledger %r was deleted or replaced while in use; what that file has counted is "
                "no longer looked at, the one that has its name now is",
                str(self.path),
            )
            del self._opened[connection]
            # SQLite leaves the log that has the name now alone: it sees that the file has moved.
            connection.close()
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            msg = (
                f"the SQLite library of this Python is {sqlite3.sqlite_version}; the ledger needs "
                f"{'.'.join(map(str, OLDEST_SQLITE))} or newer. Use a newer build of Python."
            )
            raise LedgerUnavailable(msg)
        network = network_file_system(self.path, self._mounts)
        if network is not None:
            msg = (
                f"the ledger {str(self.path)!r} is on a network file system ({network}), where "
                f"SQLite's log does not work: budgets would be overspent and entries lost. Set "
                f"LLMCOST_LEDGER to a file on a disk of this machine."
            )
            raise LedgerUnavailable(msg)
        _create_private(self.path)
        file = _file_id(self.path)
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._opened[connection] = file
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        application, version, tables = _identity(connection)
        if (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
            self._refuse_foreign(application, version, tables)
            # No effect on a file that has pages already.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            _log_ahead(connection)
            _bring_up_to_date(connection)
        elif connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            _log_ahead(connection)  # a copy made by VACUUM INTO has lost the mode
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._full_sync else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")

    def _refuse_foreign(self, application: int, version: int, tables: int) -> None:
        if application == APPLICATION_ID and version > SCHEMA_VERSION:
            msg = (
                f"the ledger {str(self.path)!r} was written by a newer version of llmcost-plugins "
                f"(schema {version}, this one knows {SCHEMA_VERSION}). Upgrade llmcost-plugins, or "
                f"set LLMCOST_LEDGER to another file."
            )
            raise LedgerUnavailable(msg)
        if application != APPLICATION_ID and (tables or application or version):
            msg = (
                f"{str(self.path)!r} is an SQLite file of another program, not a ledger; it was "
                f"left as it is. Set LLMCOST_LEDGER to another file."
            )
            raise LedgerUnavailable(msg)


def load_sql(name: str) -> str:
    """Read one of the package's SQL files."""
    return resources.files("llmcost_plugins.ledger").joinpath("sql", name).read_text("utf-8")


def _create_private(path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its -wal and -shm files the mode of the main file.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Create the tables or migrate older ones, all or nothing; another process may be faster."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for script in _scripts_from(version):
            for statement in load_sql(script).split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _scripts_from(version: int) -> Iterator[str]:
    if version == 0:
        yield "schema.sql"
    else:
        yield from (f"migrate_{step}.sql" for step in range(version + 1, SCHEMA_VERSION + 1))


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Turn on write-ahead logging.

    SQLite refuses that at once, without its busy timeout, while others open the file.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _remedy(error: sqlite3.Error) -> str:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return "It is damaged or no ledger: restore a backup, or move it away to start a new one."
    if "locked" in text:
        return f"Another process kept it locked for over {BUSY_TIMEOUT_S:.0f} s; find and stop it."
    if "full" in text:
        return "Free some space on its disk."
    return "Check that this user can read and write the file and its folder."


def _identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the application id, the schema version and the number of tables: 0 in a new file.

    Read in one transaction: another process may be creating the ledger right now, and a half of
    what it writes would look like a file of another program.
    """
    connection.execute("BEGIN")
    try:
        application, version, tables = (
            connection.execute(question).fetchone()[0]
            for question in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
    finally:
        connection.execute("COMMIT")
    return application, version, tables


def _file_id(path: Path) -> _FileId:
    """Identify the file that has this name now; (0, 0) when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - asked at each verb, and twice as fast as Path.stat
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


def _close_all(connections: dict[sqlite3.Connection, _FileId]) -> None:
    while connections:
        connections.popitem()[0].close()


# A connection must not go through a fork. It is not enough that the child leaves it alone: SQLite
# keeps its locks per process and file, so the child's own connection would believe to have locks
# that only the parent has, and lose its writes when the parent closes. So all are closed before.
_living: "weakref.WeakSet[Database]" = weakref.WeakSet()
_living_lock = threading.Lock()
_forking: list[Database] = []


def _before_fork() -> None:
    _living_lock.acquire()
    for database in list(_living):
        database.before_fork()
        _forking.append(database)


def _after_fork() -> None:
    while _forking:
        _forking.pop().after_fork()
    _living_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )

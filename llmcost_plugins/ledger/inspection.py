"""A look at a ledger's file that changes nothing in it: neither its tables nor its mode."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from llmcost_plugins.ledger.database import APPLICATION_ID, SCHEMA_VERSION

_PATIENCE_S: Final = 2.0


def outdated_schema(path: Path) -> int | None:
    """Return the version of the tables of an older ledger, 0 for an empty file.

    `None` for one that is up to date, and for whatever is no ledger: opening it says what is wrong.
    """
    try:
        with closing(_opened(path, "ro")) as db:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        return None
    if application == APPLICATION_ID and version < SCHEMA_VERSION:
        return int(version)
    return 0 if (application, version, tables) == (0, 0, 0) else None


def why_not_written(path: Path) -> str:
    """Return why a ledger's file cannot be written now; empty when it can."""
    try:
        with closing(_opened(path, "rw")) as db:
            db.execute("BEGIN IMMEDIATE")
            # SQLite begins to write in a file that may only be read, and refuses the first change.
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("ROLLBACK")
    except sqlite3.Error as error:
        return str(error)
    return ""


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S, isolation_level=None)

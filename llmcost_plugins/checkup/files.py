"""The files of this library: where they are, who can read them, whether they can be written."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from llmcost_plugins.checkup.facts import Fact
from llmcost_plugins.ledger.database import SCHEMA_VERSION
from llmcost_plugins.ledger.inspection import why_not_written
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.settings import Settings

_LOG_FILES = ("-wal", "-shm")


def no_ledger_yet(path: Path) -> Iterator[Fact]:
    """Yield whether a ledger can be made where there is none."""
    yield Fact("ledger", "file", str(path.absolute()))
    yield Fact("ledger", "size", "nothing is recorded yet")
    folder = next(one for one in path.absolute().parents if one.exists())
    effective = os.access in os.supports_effective_ids
    may = os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)
    fine = folder.is_dir() and may
    why = "" if fine else f"this user can make no file in {str(folder)!r}"
    remedy = "" if fine else "set LLMCOST_LEDGER to a file in a folder that this user can write to"
    yield Fact("ledger", "writable", "yes" if fine else "no", str(folder), why, remedy)


def outdated(path: Path, version: int) -> Fact:
    """Return the fact that a ledger has the tables of an older version."""
    why = f"its tables are of schema {version}, this version knows {SCHEMA_VERSION}"
    if not version:
        why = "it is an empty file"
    remedy = "'llmcost ledger verify' brings it up to date, as the next call does; then ask again"
    return Fact("ledger", "file", str(path.absolute()), "", why, remedy)


def ledger_file(store: SQLiteLedger) -> Iterator[Fact]:
    """Yield what there is to know of a ledger's file.

    Raises:
        LedgerUnavailable: it cannot be read.
    """
    path = store.path
    facts = store.upkeep.database_facts()
    if facts is None:
        return
    yield Fact("ledger", "file", str(path.absolute()))
    yield Fact("ledger", "schema", f"{facts.schema} (this version knows {SCHEMA_VERSION})")
    yield Fact("ledger", "size", f"{facts.size:,} bytes, {facts.entries:,} entries")
    why = why_not_written(path)
    remedy = "find who keeps it locked, or let this user write the file and its folder"
    value = "no" if why else "yes"
    yield Fact("ledger", "writable", value, "", why, remedy if why else "")
    logs = (path.with_name(path.name + end) for end in _LOG_FILES)
    for file in (path, *(log for log in logs if log.exists())):
        yield _private("ledger", f"mode of {file.name}", file, 0o600)
    yield _folder(path.absolute().parent)


def cache_folder(settings: Settings) -> Iterator[Fact]:
    """Yield how the folder of cached completions is."""
    folder = settings.cache_dir
    yield Fact("cache", "folder", str(folder))
    try:
        if not folder.exists():
            yield Fact("cache", "size", "nothing is cached yet")
            return
        size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    except OSError as error:
        why = f"it cannot be used: {error.strerror}"
        remedy = "set LLMCOST_CACHE_DIR to a folder that this user can read and write"
        yield Fact("cache", "size", "?", "", why, remedy)
        return
    yield _private("cache", "mode", folder, 0o700)
    yield Fact("cache", "size", f"{size:,} of {settings.cache_size:,} bytes")


def _private(section: str, name: str, path: Path, wanted: int) -> Fact:
    mode = _mode(path)
    if mode is None or not mode & 0o077:
        return Fact(section, name, "-" if mode is None else f"{mode:04o}")
    why = f"other users of this machine can get at {str(path)!r}"
    return Fact(section, name, f"{mode:04o}", "", why, f"chmod {wanted:o} {str(path)!r}")


def _folder(path: Path) -> Fact:
    """Look at a ledger's folder: who can write there can put another ledger in its place."""
    mode = _mode(path)
    name = "mode of its folder"
    if mode is None:
        return Fact("ledger", name, "-")
    if not mode & 0o022 or mode & stat.S_ISVTX:
        return Fact("ledger", name, f"{mode:04o}")
    why = f"other users of this machine can replace files in {str(path)!r}"
    return Fact("ledger", name, f"{mode:04o}", "", why, f"chmod go-w {str(path)!r}")


def _mode(path: Path) -> int | None:
    """Return the permissions of a file; `None` where there are none of the kind, or no file."""
    if os.name != "posix":
        return None
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:  # it went meanwhile, as a log does
        return None

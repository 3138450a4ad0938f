"""What the bookkeeping could not do, in a file that `llmcost doctor` reads for all processes.

After the provider has answered nothing of ours raises, and the logs of workers are seldom read.
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from llmcost_plugins.private_files import append_privately
from llmcost_plugins.process_name import process_name

_NAME: Final = "failures.log"
_FORMER: Final = "failures.log.1"
_MOST_BYTES: Final = 1 << 18
_PAUSE: Final = timedelta(minutes=1)
_PLACE: Final = re.compile(r"%[sdr]")


class Failure(NamedTuple):
    """A failure, and how many more like it came soon after it.

    Attributes:
        at: when.
        what: what has failed, without the names and texts of the call.
        error: the class of the exception; empty when there was none.
        process: whose it was, as ``host:pid``.
        times: how often; of those of a process's last minute some may not be counted.
    """

    at: datetime
    what: str
    error: str
    process: str
    times: int


class FailureLog:
    """The file of failures of one ledger, beside the entries that wait for it.

    It keeps no label and no text of an error, which may quote a prompt: nothing to erase. Two files
    of 256 KiB are the most it takes.

    Args:
        folders: where, the first that can be written; made 0700, the file 0600.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._told: dict[tuple[str, str], tuple[datetime, int]] = {}

    def add(self, what: str, error: BaseException | None, at: datetime) -> None:
        """Note a failure. Never raises: it is in the log of the process too.

        A kind of failure is written once a minute, so that a broken disk is not written to for each
        call.

        Args:
            what: what has failed, with places for names as in logging.
            error: the exception; `None` when there is none.
            at: the current instant.
        """
        kind = (_PLACE.sub("…", what), "" if error is None else type(error).__name__)
        with self._lock:
            told, more = self._told.get(kind, (None, 0))
            if told is not None and told <= at < told + _PAUSE:
                self._told[kind] = (told, more + 1)
                return
            self._told[kind] = (at, 0)
        what, name = kind
        line = json.dumps(
            {
                "at": at.isoformat(),
                "what": what,
                "error": name,
                "process": process_name(),
                "times": more + 1,
            }
        )
        for folder in self._folders:
            with suppress(OSError):
                _append(folder, f"{line}\n".encode())
                return

    def since(self, begin: datetime) -> list[Failure]:
        """Return the failures from *begin* on that this user may read, oldest first."""
        known = (_failure(line) for folder in self._folders for line in _lines(folder))
        return sorted(one for one in known if one is not None and one.at >= begin)


def _append(folder: Path, line: bytes) -> None:
    path = folder / _NAME
    if append_privately(path, line, durable=False) >= _MOST_BYTES:
        path.replace(folder / _FORMER)


def _lines(folder: Path) -> Iterator[str]:
    for name in (_FORMER, _NAME):
        with suppress(OSError):
            yield from (folder / name).read_text("utf-8", "replace").splitlines()


def _failure(line: str) -> Failure | None:
    """Read a line; `None` where it is not one of ours, or cut."""
    try:
        facts = json.loads(line)
        at = datetime.fromisoformat(facts["at"])
        what, error, process = (str(facts[name]) for name in ("what", "error", "process"))
        times = int(facts["times"])
        return None if at.tzinfo is None else Failure(at, what, error, process, times)
    except (ValueError, KeyError, TypeError):
        return None

"""Who is asking a model right now: one at a time for each request, over threads and processes.

The lead of a request is one byte of a file, locked by the operating system: it is free again the
moment that its process ends, however it ends. Nothing expires and nothing has to be cleaned up.
"""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from llmcost_plugins.guard import Owner, current_owner

FILE: Final = "flights"
_MARKS: Final = 65_536
_LOCKS_FROM: Final = 2**32

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int, place: int) -> bool:
        os.lseek(file, place, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: int, place: int) -> None:
        os.lseek(file, place, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int, place: int) -> bool:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(file: int, place: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


class Flights:
    """The requests under way, of this process and of all that share the folder.

    Where the folder cannot be written there are none: everybody leads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._mine: dict[str, Owner] = {}
        self._file: int | None = None
        self._pid = os.getpid()

    def claim(self, key: str) -> bool:
        """Take the lead of a request; False while somebody has it.

        Raises:
            OSError: the folder cannot be used, so that nobody can tell who leads.
        """
        self._after_fork()
        with self._lock:
            if key in self._mine or not _lock(self._opened(), _place(key)):
                return False
            self._mine[key] = current_owner()
            return True

    def release(self, key: str, *, shared: bool) -> None:
        """Give the lead back.

        Args:
            key: the request's key.
            shared: False when an answer arrived that nobody else may have; who waits for it need
                not wait for the next one.
        """
        with self._lock, suppress(OSError):
            if self._mine.pop(key, None) is None or self._file is None:
                return
            if not shared:
                self._mark(key)
            _unlock(self._file, _place(key))

    def is_own(self, key: str) -> bool:
        """Tell whether this very thread or task leads: it would wait for itself."""
        return self._mine.get(key) == current_owner()

    def mark(self, key: str) -> int:
        """Return a number that changes when an answer to the request could not be shared."""
        with self._lock, suppress(OSError):
            file = self._opened()
            os.lseek(file, _mark_place(key), os.SEEK_SET)
            return os.read(file, 1)[0]
        return 0

    def close(self) -> None:
        """Close the file, unless somebody of this process leads."""
        with self._lock:
            if self._file is not None and not self._mine:
                os.close(self._file)
                self._file = None

    def _mark(self, key: str) -> None:
        assert self._file is not None  # noqa: S101 - asked by the caller
        os.lseek(self._file, _mark_place(key), os.SEEK_SET)
        mark = os.read(self._file, 1)[0]
        os.lseek(self._file, _mark_place(key), os.SEEK_SET)
        os.write(self._file, bytes([(mark + 1) % 256]))

    def _opened(self) -> int:
        # Kept open: to close any file on it would give back all locks of the process.
        if self._file is None:
            file = os.open(self._folder / FILE, os.O_CREAT | os.O_RDWR, 0o600)
            if os.fstat(file).st_size < _MARKS:
                # Written now: with the disk full it could not be later.
                os.write(file, bytes(_MARKS))
            self._file = file
        return self._file

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            # A child leads nothing; the lock may have been taken by a thread that it lacks.
            file = self._file
            self.__init__(self._folder)  # type: ignore[misc]  # to begin anew is what is meant
            if file is not None:
                os.close(file)


def _place(key: str) -> int:
    return _LOCKS_FROM + int(key[:12], 16)


def _mark_place(key: str) -> int:
    return int(key[-4:], 16)

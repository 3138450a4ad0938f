"""`CompletionCache`: answers of models on disk, by request."""

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from llmcost_plugins.cache.counting import CacheCounts, Counter
from llmcost_plugins.cache.entries import BrokenEntry, CachedAnswer, pack, unpack
from llmcost_plugins.cache.flights import Flights
from llmcost_plugins.cache.keys import request_key
from llmcost_plugins.cache.rules import CacheRules
from llmcost_plugins.cache.visits import Steps, Visit, pauses
from llmcost_plugins.labels import Labels, current_labels

if TYPE_CHECKING:
    from llmcost_plugins._disk import BytesCache
    from llmcost_plugins.settings import Settings

_LOCK_TIMEOUT_S: Final = 2.0
_SKEW: Final = timedelta(minutes=5)
"""How far the clocks of processes that share a folder may be apart."""
_LARGEST_PART: Final = 4
"""An answer may take this part of the size: a larger one would push out all others."""
_LABEL: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class CompletionCache:
    """Answers of models on disk, by request. Knows no framework.

    After construction nothing here raises because of the disk: a cache that cannot be read or
    written is a miss, logged once and counted.

    Args:
        folder: where; created 0700, its files 0600.
        ttl: how long an answer is good.
        size: bytes it may take; the answers stored longest ago go first.
        namespace: keeps tenants apart; part of every key. A label in braces stands for its value,
            e.g. ``{team}``.
        sampled: whether answers of a temperature above 0 are cached, see `CacheRules`.
        after_tools: whether answers to results of tools are, likewise.
        skip: scopes that are never cached, likewise.
        patience: how long a request waits for an identical one before it is sent all the same.

    Raises:
        ConfigurationError: a scope of *skip* cannot be used.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings with defaults
        self,
        folder: Path,
        *,
        ttl: timedelta,
        size: int = 2**30,
        namespace: str = "",
        sampled: bool = False,
        after_tools: bool = False,
        skip: Iterable[str] = (),
        patience: timedelta = timedelta(seconds=60),
    ) -> None:
        scopes = tuple(skip)
        self.folder = folder
        self._settings: dict[str, Any] = {
            "ttl": ttl,
            "size": size,
            "namespace": namespace,
            "sampled": sampled,
            "after_tools": after_tools,
            "skip": scopes,
            "patience": patience,
        }
        self.rules = CacheRules(sampled=sampled, after_tools=after_tools, skip=scopes)
        self.counter = Counter(str(folder))
        self.flights = Flights(folder)
        self._ttl = ttl
        self._size = size
        self._namespace = namespace
        self._patience = patience.total_seconds()
        self._lock = threading.Lock()
        self._opened: tuple[BytesCache, _Identity] | None = None

    @classmethod
    def from_settings(cls, settings: "Settings") -> Self:
        """Build from settings."""
        return cls(
            settings.cache_dir,
            ttl=settings.cache_ttl,
            size=settings.cache_size,
            namespace=settings.cache_namespace,
            sampled=settings.cache_sampled,
            after_tools=settings.cache_after_tools,
        )

    def __reduce__(self) -> tuple[Callable[..., "CompletionCache"], tuple[Any, ...]]:
        """Pickle as what it was made of: another process uses the same folder."""
        return _remade, (type(self), self.folder, self._settings)

    @property
    def counts(self) -> CacheCounts:
        """What became of the look-ups and stores so far."""
        return self.counter.counts

    def key(self, request: Mapping[str, Any], labels: Labels | None = None) -> str:
        """Return the key of a request: SHA-256 over its canonical JSON, with the namespace.

        Args:
            request: everything that changes the answer; the order of keys does not matter.
            labels: who causes the call; by default what the `attribute` blocks in force say.

        Raises:
            NoKey: a value has no canonical form; such a request cannot be cached.
        """
        return request_key(request, [self._namespace, self._tenant(labels)])

    def get(self, key: str, now: datetime) -> CachedAnswer | None:
        """Return the stored answer, or `None`."""
        entry = self._find(key, now)
        self.counter.add("misses" if entry is None else "hits")
        return entry

    def put(self, key: str, entry: CachedAnswer) -> bool:
        """Store an answer of JSON-able values; return False when that did not work."""
        try:
            packed = pack(key, entry)
            if len(packed) * _LARGEST_PART > self._size:
                self.counter.skip("larger than a quarter of the cache")
                return False
            self._cache(look=True).set(key, packed, expire=self._ttl.total_seconds())
        except Exception as error:  # noqa: BLE001 - the answer is paid for and must arrive
            self._failed("written", error)
            return False
        self.counter.add("stored")
        return True

    def delete(self, key: str) -> bool:
        """Remove an answer; return False when there was none or that did not work."""
        try:
            return bool(self._cache().delete(key))
        except Exception as error:  # noqa: BLE001 - a cache must not stop a chain
            self._failed("cleaned", error)
            return False

    def visit(self, key: str, clock: Callable[[], datetime], *, may_wait: bool = True) -> Steps:
        """Find an answer, or wait for the one that somebody is asking for; see `visits.run`.

        Args:
            key: the request's key.
            clock: returns the current aware instant.
            may_wait: whether to wait at all.
        """
        entry = self._find(key, clock())
        if entry is not None:
            self.counter.add("hits")
            return Visit(self, key, entry)
        mark, waited, unshared = self.flights.mark(key), 0.0, False
        for pause in pauses():
            if self._leads(key):
                entry = self._find(key, clock())
                unshared = waited > 0 and self.flights.mark(key) != mark
                if entry is not None or unshared:
                    self.flights.release(key, shared=True)
                break
            if not may_wait or waited >= self._patience or self.flights.is_own(key):
                self.counter.add("misses")
                return Visit(self, key)
            yield pause
            waited += pause
        self.counter.add("misses" if entry is None else "hits")
        if entry is not None and waited:
            self.counter.add("joined")
        return Visit(self, key, entry, leads=entry is None and not unshared)

    def namespace_of(self, labels: Labels | None = None) -> str:
        """Return the namespace of a call with its labels filled in, for people."""
        values = self._tenant(labels)
        return _LABEL.sub(lambda match: values[match[1]], self._namespace)

    def clear(self) -> int:
        """Remove all answers of the folder, of every namespace; return how many.

        Raises:
            OSError: the folder cannot be used.
        """
        return int(self._cache().clear())

    def close(self) -> None:
        """Close the files; a later use opens them again."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].close()
                self._opened = None
        self.flights.close()

    def _tenant(self, labels: Labels | None) -> dict[str, str]:
        names = _LABEL.findall(self._namespace)
        values = (current_labels() if labels is None else labels).values if names else {}
        return {name: values.get(name, "") for name in names}

    def _leads(self, key: str) -> bool:
        try:
            return self.flights.claim(key)
        except OSError as error:
            # Nobody can tell who else asks: each asks for itself.
            self.counter.failed("shared", error)
            return True

    def _find(self, key: str, now: datetime) -> CachedAnswer | None:
        try:
            packed = self._cache().get(key)
            entry = None if packed is None else unpack(key, packed)
        except BrokenEntry as error:
            self.counter.add("rejected")
            self.counter.warn("a row was removed: %s", error)
            self.delete(key)
            return None
        except Exception as error:  # noqa: BLE001 - a cache must not stop a chain
            self._failed("read", error)
            return None
        # By the entry's own time: the time to live may have been shortened since, or the clock have
        # been wrong.
        if entry is not None and not -_SKEW <= now - entry.at < self._ttl:
            return None
        return entry

    def _cache(self, *, look: bool = False) -> "BytesCache":
        opened = self._opened
        if opened is not None and (not look or opened[1] == _identity(self.folder)):
            return opened[0]
        with self._lock:
            if self._opened is opened:
                # Deleted or replaced, or not opened yet.
                made = open_files(self.folder, self._size)
                self._opened = made, _identity(self.folder)
                self.flights.close()
            assert self._opened is not None  # noqa: S101 - set above, or by another thread
            return self._opened[0]

    def _failed(self, what: str, error: Exception) -> None:
        self.counter.failed(what, error)
        if self._opened is not None and _identity(self.folder) != self._opened[1]:
            with self._lock:
                self._opened = None  # deleted or replaced while in use: begin anew


def _remade(
    kind: type[CompletionCache], folder: Path, settings: Mapping[str, Any]
) -> CompletionCache:
    return kind(folder, **settings)


_Identity = tuple[int, int] | None


def _identity(folder: Path) -> _Identity:
    try:
        about = (folder / "cache.db").stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def open_files(folder: Path, size: int) -> "BytesCache":
    """Open the files of a folder, made for the user alone where they are not there.

    Raises:
        OSError: the folder cannot be used.
        sqlite3.Error: the file is none of SQLite's.
    """
    import diskcache

    from llmcost_plugins._disk import BytesCache

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # diskcache would create its file with the umask's mode; what SQLite puts beside it follows.
    os.close(os.open(folder / diskcache.core.DBNAME, os.O_CREAT | os.O_RDWR, 0o600))
    return BytesCache(
        str(folder),
        timeout=_LOCK_TIMEOUT_S,
        size_limit=size,
        # A look-up must not write: not least-recently-used, but least-recently-stored.
        eviction_policy="least-recently-stored",
    )

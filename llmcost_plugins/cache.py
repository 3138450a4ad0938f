"""Completions cached on disk: safe to read, keyed by the whole request, apart by tenant.

The engine is diskcache; its own `Disk` and `JSONDisk` both execute a pickle that somebody planted
in the file (CVE-2025-69872, no fix upstream), so `BytesDisk` takes their place.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import diskcache

_log: Final = logging.getLogger("llmcost_plugins")
FORMAT: Final = 1
_DIGEST_SIZE: Final = 16
_LOCK_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """What became of the look-ups and stores of this process.

    Attributes:
        hits: look-ups that found an answer.
        misses: look-ups that did not.
        stored: answers written.
        rejected: rows that were foreign, damaged or of another version, and were removed.
        failed: look-ups and stores that the disk did not allow; counted as misses, too.
    """

    hits: int = 0
    misses: int = 0
    stored: int = 0
    rejected: int = 0
    failed: int = 0


class CompletionCache:
    """Answers of models on disk, by request. Knows no framework.

    After construction nothing here raises because of the disk: a cache that cannot be read or
    written is a miss, logged once and counted.

    Args:
        folder: where; created 0700, its files 0600.
        ttl: how long an answer is good.
        size: bytes it may take; the answers stored longest ago go first.
        namespace: keeps tenants apart; part of every key.
    """

    def __init__(
        self, folder: Path, *, ttl: timedelta, size: int = 2**30, namespace: str = ""
    ) -> None:
        self.folder = folder
        self._ttl = ttl.total_seconds()
        self._size = size
        self._namespace = namespace
        self._lock = threading.Lock()
        self._opened: diskcache.Cache | None = None
        self._counts: dict[str, int] = {}
        self._warned = False

    @property
    def counts(self) -> CacheCounts:
        """What became of the look-ups and stores so far."""
        return CacheCounts(**self._counts)

    def key(self, request: Mapping[str, Any]) -> str:
        """Return the key of a request: SHA-256 over its canonical JSON, with the namespace.

        Args:
            request: everything that changes the answer, as JSON-able values; the order of keys
                does not matter.

        Raises:
            TypeError: a value has no canonical JSON; such a request cannot be cached.
        """
        whole = {"format": FORMAT, "namespace": self._namespace, "request": request}
        text = json.dumps(
            whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def get(self, key: str) -> Any | None:
        """Return the stored answer, or `None`."""
        try:
            packed = self._cache().get(key)
            answer = None if packed is None else _unpack(packed)
        except _BrokenRow as error:
            self._count("rejected")
            self._warn("a row was removed: %s", error)
            self._discard(key)
            answer = None
        except Exception as error:  # noqa: BLE001 - a cache must not stop a chain
            self._failed("read", error)
            answer = None
        self._count("misses" if answer is None else "hits")
        return answer

    def put(self, key: str, answer: Any, at: datetime) -> bool:
        """Store an answer of JSON-able values; return False when that did not work."""
        try:
            packed = _pack(answer, at)
            self._cache().set(key, packed, expire=self._ttl)
        except Exception as error:  # noqa: BLE001 - the answer is paid for and must arrive
            self._failed("written", error)
            return False
        self._count("stored")
        return True

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
                self._opened.close()
                self._opened = None

    def _cache(self) -> "diskcache.Cache":
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = _open(self.folder, self._size)
        return self._opened

    def _discard(self, key: str) -> None:
        try:
            self._cache().delete(key)
        except Exception as error:  # noqa: BLE001 - a broken row is a miss already
            self._failed("cleaned", error)

    def _failed(self, what: str, error: Exception) -> None:
        self._count("failed")
        self._warn(f"it cannot be {what}: %s", error)

    def _warn(self, text: str, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "the completion cache in %r: " + text + " (logged once, then counted)",
                str(self.folder),
                error,
            )

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + 1


class _BrokenRow(Exception):  # noqa: N818 - internal signal, never leaves this module
    """A stored value that is not one of ours."""


def _pack(answer: Any, at: datetime) -> bytes:
    envelope = {"v": FORMAT, "at": at.isoformat(), "answer": answer}
    body = json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest() + body


def _unpack(packed: object) -> Any:
    if not isinstance(packed, bytes):
        msg = "another program wrote it"
        raise _BrokenRow(msg)
    digest, body = packed[:_DIGEST_SIZE], packed[_DIGEST_SIZE:]
    if hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest() != digest:
        msg = "its checksum is wrong"
        raise _BrokenRow(msg)
    # A checksum is no signature: whoever can write to the folder can make a valid one.
    try:
        envelope = json.loads(body)
        version, answer = envelope["v"], envelope["answer"]
    except (ValueError, LookupError, TypeError, RecursionError):
        msg = "it is no answer"
        raise _BrokenRow(msg) from None
    if version != FORMAT:
        msg = f"its format is {version!r}"
        raise _BrokenRow(msg)
    return answer


def _open(folder: Path, size: int) -> "diskcache.Cache":
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

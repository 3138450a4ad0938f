"""What lies in the cache for one request: an answer with what it used and cost, as JSON."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from llmcost_plugins.usage import Trust, Usage

FORMAT: Final = 2
"""The version of entries and of keys: other versions of this library do not see each other's."""

_DIGEST_SIZE: Final = 16
_PIECES: Final = 32
"""A stored answer is streamed in about as many chunks, of at least `_SHORTEST` characters."""
_SHORTEST: Final = 16


class BrokenEntry(Exception):  # noqa: N818 - a signal within this package, never leaves it
    """A stored value that is not one of ours, or not the one of its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAnswer:
    """One stored answer.

    Attributes:
        answer: the answer as JSON-able values, in the adapter's own form.
        at: when it was stored.
        usage: what it had used; `None` when that is not known.
        model: the requested model, as the framework names it.
        provider: its provider, likewise.
        served: the model's name as the provider reported it.
        cost: what it cost when it was bought, in nano-dollars; `None` when that is not known.
        feature: the label ``feature`` of the call that bought it.
        namespace: the tenant; set when it is stored.
    """

    answer: Any
    at: datetime
    usage: Usage | None = None
    model: str = ""
    provider: str | None = None
    served: str | None = None
    cost: int | None = None
    feature: str = ""
    namespace: str = ""


def pieces_of(text: str) -> list[str]:
    """Cut the text of a stored answer for those who asked for a stream; at least one piece."""
    size = max(len(text) // _PIECES, _SHORTEST)
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]


def pack(key: str, entry: CachedAnswer) -> bytes:
    """Return an entry as it is stored under its key.

    Raises:
        TypeError: the answer has a value that JSON does not have.
        ValueError: likewise.
    """
    usage = entry.usage
    envelope = {
        "v": FORMAT,
        # With its key: an entry that was moved to another key answers nothing.
        "key": key,
        "at": entry.at.isoformat(),
        "ns": entry.namespace,
        "model": entry.model,
        "provider": entry.provider,
        "served": entry.served,
        "feature": entry.feature,
        "usage": None if usage is None else usage.to_counts(),
        "trust": None if usage is None else usage.trust.value,
        "cost": entry.cost,
        "answer": entry.answer,
    }
    text = json.dumps(envelope, separators=(",", ":"), ensure_ascii=False)
    body = text.encode("utf-8", "surrogatepass")
    return _digest(body) + body


def unpack(key: str, packed: object) -> CachedAnswer:
    """Read a stored entry.

    Raises:
        BrokenEntry: it is foreign, damaged, of another version, or of another key.
    """
    if not isinstance(packed, bytes):
        msg = "another program wrote it"
        raise BrokenEntry(msg)
    digest, body = packed[:_DIGEST_SIZE], packed[_DIGEST_SIZE:]
    if _digest(body) != digest:
        msg = "its checksum is wrong"
        raise BrokenEntry(msg)
    # A checksum is no signature: whoever can write to the folder can make a valid one.
    try:
        envelope = json.loads(body)
        version, own_key = envelope["v"], envelope.get("key")
        if version != FORMAT or own_key != key:
            msg = "of another key" if version == FORMAT else f"of format {version!r}"
            raise BrokenEntry(msg)
        return _entry(envelope)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        msg = "it is no answer"
        raise BrokenEntry(msg) from None


def _entry(envelope: dict[str, Any]) -> CachedAnswer:
    counts, cost = envelope["usage"], envelope["cost"]
    usage = None if counts is None else Usage.from_counts(counts, Trust(envelope["trust"]))
    at = datetime.fromisoformat(envelope["at"])
    texts = [envelope[name] for name in ("model", "feature", "ns")]
    optional = [envelope[name] for name in ("provider", "served")]
    sound = all(isinstance(text, str) for text in texts) and all(
        text is None or isinstance(text, str) for text in optional
    )
    if not sound or at.tzinfo is None or not (cost is None or isinstance(cost, int)):
        msg = "a field has the wrong type"
        raise ValueError(msg)
    return CachedAnswer(
        answer=envelope["answer"],
        at=at,
        usage=usage,
        model=texts[0],
        provider=optional[0],
        served=optional[1],
        cost=cost,
        feature=texts[1],
        namespace=texts[2],
    )


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest()

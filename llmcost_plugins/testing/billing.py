"""What the simulated provider has billed."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Outcome = Literal["complete", "cut", "disconnected", "error"]


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What one request has used, in tokens unless said otherwise.

    `prompt` includes `cached`, which was read from the cache, and what was written to it for five
    minutes and for an hour; `completion` includes `reasoning`. `searches` are counted in searches.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    written_5m: int = 0
    written_1h: int = 0
    searches: int = 0

    def after(self, produced: int) -> "TokenCounts":
        """Return what had been used when `produced` visible tokens had left the provider.

        Reasoning and searches come before the first of them, so all of them count.
        """
        return replace(self, completion=min(self.reasoning + produced, self.completion))


@dataclass(frozen=True, slots=True)
class BilledRequest:
    """One line of the provider's invoice, errors at cost 0 included."""

    id: str
    """The `x-request-id` that the answer carries."""
    path: str
    model: str
    """The model as requested, without a behavior suffix."""
    served_model: str
    status_code: int
    """The HTTP status that was sent, or would have been had the client stayed."""
    streamed: bool
    outcome: Outcome
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Part of `prompt_tokens`."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Part of `completion_tokens`."""
    cache_write_5m_tokens: int = 0
    """Part of `prompt_tokens`: written to the cache for the provider's usual time."""
    cache_write_1h_tokens: int = 0
    """Part of `prompt_tokens`: written to the cache for an hour."""
    web_searches: int = 0
    service_tier: str | None = None
    """The tier that was billed; the standard price where the price list has none for it."""
    cost_nano: int = 0
    """The cost in 1e-9 USD, rounded half-even."""
    body: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The request as parsed from JSON; empty if it was no JSON object."""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """The request's headers with lower-case names, without credentials."""


class Invoice:
    """The billed requests in the order they finished, and those still in flight. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_flight = 0
        self._lines: list[BilledRequest] = []

    def open(self) -> None:
        """Count one more request in flight."""
        with self._changed:
            self._in_flight += 1

    def close(self, line: BilledRequest | None) -> None:
        """Finish a request that was opened; None leaves no line."""
        with self._changed:
            self._in_flight -= 1
            if line is not None:
                self._lines.append(line)
            self._changed.notify_all()

    def lines(self) -> list[BilledRequest]:
        """Return a copy of what is billed so far."""
        with self._changed:
            return list(self._lines)

    def wait(self, timeout: float) -> list[BilledRequest]:
        """Wait until nothing is in flight; raises TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._in_flight == 0, timeout):
                msg = f"{self._in_flight} requests still in flight after {timeout} s"
                raise TimeoutError(msg)
            return list(self._lines)

    def in_flight(self) -> int:
        """Return how many requests are in flight."""
        with self._changed:
            return self._in_flight

    def clear(self) -> None:
        """Forget the lines; requests in flight will still be billed."""
        with self._changed:
            self._lines.clear()

"""`BudgetGate`: stands where LlamaIndex asks a rate limiter, and lets pass what can be paid."""

import os
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.rate_limiter import BaseRateLimiter

from llmcost_llamaindex._calls import LiveCall, pending, routed
from llmcost_llamaindex._embedding_calls import Request, current
from llmcost_llamaindex._workers import Kit, packed, picklable, unpacked
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, current_labels

Guarded = BaseLLM | BaseEmbedding
GuardedT = TypeVar("GuardedT", bound=Guarded)


@dataclass(frozen=True, slots=True)
class BudgetGate(BaseRateLimiter):
    """Holds the most that a model call can cost before anything is sent.

    It is asked right before the provider is called, and reads what `install` has noted of the call.
    Where nothing was noted it lets pass, unless it is *required*. `install` puts one on each model
    by itself; a copy or a pickle of that model keeps it. Unpickled in another process where nothing
    is installed, it installs there what is installed here: the same ledger and settings, under the
    labels in force where the model was pickled, or the pipeline was run that pickles it. An *inner*
    that cannot be pickled stays behind.

    Args:
        inner: the rate limiter that was there before; asked after the hold was granted.
        required: whether calls are refused that `install` does not see.
        why: why no call can be seen in this process, if that is known.
        labels: what calls in another process are charged to, under those in force when pickled.
    """

    inner: BaseRateLimiter | None = None
    required: bool = False
    why: str = ""
    labels: Labels = field(default_factory=Labels)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (type(self), picklable(self.inner), self.required, packed(self.labels), os.getpid())
        return _unpickled, parts

    def __copy__(self) -> "BudgetGate":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "BudgetGate":
        return self  # it cannot be changed, and a limit is shared

    def acquire(self, num_tokens: int = 0) -> None:
        """Hold for the call that is about to be made.

        Raises:
            BudgetExceeded: a budget cannot pay for it; nothing was sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
            ConfigurationError: the gate is required and `install` was not called.
        """
        call = self._take_call()
        if call is not None:
            call.hold()
        if self.inner is not None:
            self.inner.acquire(num_tokens)
        if call is not None:
            call.sent = True

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """Do what `acquire` does, and wait by awaiting."""
        call = self._take_call()
        if call is not None:
            await call.ahold()
        if self.inner is not None:
            await self.inner.async_acquire(num_tokens)
        if call is not None:
            call.sent = True

    def _take_call(self) -> LiveCall | Request | None:
        call = pending.get()
        pending.set(None)
        self._check_seen(call)
        return call

    def _check_seen(self, call: object) -> None:
        if call is None and self.required and routed.get() is None:
            msg = (
                "a guarded model was called, but nothing records its calls in this process; call "
                "llmcost_llamaindex.install() first, or take the gate off: llm.rate_limiter = None"
            )
            raise ConfigurationError(self.why or msg)


@dataclass(frozen=True, slots=True)
class ClosedGate(BaseRateLimiter):
    """Refuses every call: the environment asks for recording, and says so in a way that fails.

    Args:
        reason: what is wrong.
        inner: the rate limiter that was there before.
    """

    reason: str
    inner: BaseRateLimiter | None = None

    def acquire(self, num_tokens: int = 0) -> None:
        """Refuse.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(self.reason)

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """Do what `acquire` does."""
        self.acquire(num_tokens)


def _unpickled(
    kind: type[BudgetGate], inner: BaseRateLimiter | None, required: bool, kit: Kit | None, pid: int
) -> BudgetGate:
    why = unpacked(kit, pid)
    return kind(inner, required or bool(why), why)


class EmbeddingGate(BudgetGate):
    """The gate of an embedding model; what is in its cache is not held for."""

    __slots__ = ()

    def _take_call(self) -> Request | None:
        call = current.get()
        self._check_seen(call)
        return None if call is None else call.next_request()


def _gate_of(model: Guarded) -> type[BudgetGate]:
    return EmbeddingGate if isinstance(model, BaseEmbedding) else BudgetGate


def guard(llm: GuardedT) -> GuardedT:
    """Put a gate on *llm* that lets no call pass unseen, and return *llm*.

    `install` guards each model by itself, so this is for those who want to be sure: before
    `install`, after `uninstall`, and in a process that never called it (LlamaIndex pickles models
    for its worker processes), a call to a guarded model is a `ConfigurationError` instead of
    unrecorded spending. The order of `guard` and `install` does not matter. A rate limiter that is
    already there is kept and asked second.

    """
    limiter = llm.rate_limiter
    inner = limiter.inner if isinstance(limiter, BudgetGate) else limiter
    llm.rate_limiter = _gate_of(llm)(inner, required=True)
    return llm


class Gates:
    """The gates that `install` has put on models, to be taken off again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By identity: models can neither be hashed nor compared cheaply.
        self._gated: dict[int, weakref.ref[Guarded]] = {}

    def put_on(self, llm: Guarded) -> None:
        """Put a gate on a model that has none."""
        if isinstance(llm.rate_limiter, BudgetGate):
            return
        with self._lock:
            if not isinstance(llm.rate_limiter, BudgetGate):
                llm.rate_limiter = _gate_of(llm)(llm.rate_limiter)
                key, gated = id(llm), self._gated
                gated[key] = weakref.ref(llm, lambda _: gated.pop(key, None))

    def put_on_parts(self, parts: Iterable[object]) -> None:
        """Put gates on the models that are, or are used by, the steps of a pipeline."""
        for part in parts:
            for model in (part, getattr(part, "llm", None)):
                if isinstance(model, BaseLLM | BaseEmbedding):
                    self.put_on(model)
                    gate = model.rate_limiter
                    if isinstance(gate, BudgetGate) and gate.labels != current_labels():
                        model.rate_limiter = replace(gate, labels=current_labels())

    def take_off(self) -> None:
        """Give every model the rate limiter back that it had, except those guarded by hand."""
        with self._lock:
            references = list(self._gated.values())
            self._gated.clear()
        for llm in (reference() for reference in references):
            limiter = llm.rate_limiter if llm is not None else None
            if llm is not None and isinstance(limiter, BudgetGate) and not limiter.required:
                llm.rate_limiter = limiter.inner

"""`CostCallbackHandler`: records every model call of a chain, stops what cannot be paid."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from llmcost_langchain._runs import run_roots
from llmcost_plugins.labels import Labels, make_labels, take_labels
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.streams import Streamed

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

    from llmcost_plugins.calls import OpenCall
    from llmcost_plugins.ledger import Outcome
    from llmcost_plugins.pricing import CallSize
    from llmcost_plugins.pricing.sizes import PromptSizer
    from llmcost_plugins.tracker import CostTracker

_KEPT: Final = 1024


class CostCallbackHandler(BaseCallbackHandler):
    """Attach it to a chain, a model or a config; every model call below is recorded and guarded.

    The call is refused by raising in the start event, before a request is sent. After the provider
    has answered nothing here raises, but for a stream that outgrows what a budget pays for. Several
    handlers on one call record it once. Making a handler has no side effect; without a *tracker*
    the process-wide one is built at the first call.

    Synchronous on purpose: LangChain swallows what an asynchronous handler raises in sync code, so
    that could not stop a call. Its methods take tens of microseconds and run inline.

    Args:
        tracker: where to record; by default the one set up by the environment variables.
        tags: words for the calls seen here.
        labels: who causes them, e.g. ``feature="chat"``. `attribute` blocks and the config's
            metadata win over these.

    Raises:
        ConfigurationError: a label cannot be used.
    """

    raise_error = True
    run_inline = True

    def __init__(
        self,
        tracker: "CostTracker | None" = None,
        *,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> None:
        self._tracker = tracker
        self.labels: Labels = make_labels(labels, tags)
        self._calls: dict[UUID, OpenCall] = {}
        self._streams: dict[UUID, Streamed] = {}
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._cost = self._saved = self._count = 0

    @property
    def tracker(self) -> "CostTracker":
        """The tracker in use."""
        if self._tracker is None:
            from llmcost_plugins.tracker import default_tracker

            return default_tracker()
        return self._tracker

    @property
    def total(self) -> Decimal:
        """USD spent by the calls that this handler has seen end."""
        return nano_to_usd(self._cost)

    @property
    def saved(self) -> Decimal:
        """USD that cached answers among them would have cost."""
        return nano_to_usd(self._saved)

    @property
    def calls(self) -> int:
        """How many calls this handler has seen end."""
        return self._count

    def on_chain_start(
        self,
        serialized: Mapping[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        run_roots.enter(run_id, parent_run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)

    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        run_roots.enter(run_id, parent_run_id)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)

    def on_chat_model_start(
        self,
        serialized: Mapping[str, Any] | None,
        messages: Sequence[Sequence["BaseMessage"]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Hold the most that a chat call can cost.

        Raises:
            BudgetExceeded: a budget cannot pay for it; nothing was sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        from llmcost_langchain._messages import chat_size

        about, params = metadata or {}, kwargs.get("invocation_params") or {}

        def measure(sizer: "PromptSizer") -> "CallSize":
            return chat_size(sizer, messages[0], params, about)

        self._start(run_id, serialized, measure, about, kwargs)

    def on_llm_start(
        self,
        serialized: Mapping[str, Any] | None,
        prompts: Sequence[str],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Hold the most that a completion call can cost; raises as `on_chat_model_start` does."""
        from llmcost_langchain._messages import text_size

        about, params = metadata or {}, kwargs.get("invocation_params") or {}

        def measure(sizer: "PromptSizer") -> "CallSize":
            return text_size(sizer, prompts[0], params, about)

        self._start(run_id, serialized, measure, about, kwargs)

    def _start(
        self,
        run_id: UUID,
        serialized: Mapping[str, Any] | None,
        measure: Callable[["PromptSizer"], "CallSize"],
        metadata: dict[str, Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        from llmcost_langchain._messages import model_of, own_tags
        from llmcost_langchain.errors import start
        from llmcost_plugins.calls import CallSpec

        tracker = self.tracker
        opened = tracker.find(str(run_id))
        if opened is None:
            name = model_of(metadata, kwargs.get("invocation_params") or {}, _kind(serialized))
            parent = kwargs.get("parent_run_id")
            spec = CallSpec(
                id=str(run_id),
                model=name.model,
                provider=name.provider,
                size=measure(tracker.sizer(name.model)),
                labels=take_labels(
                    tracker.label_keys, metadata, own_tags(kwargs.get("tags") or ())
                ),
                defaults=self.labels,
                run=str(run_roots.of(parent) if parent else run_id),
            )
            opened = start(tracker, spec)
        with self._lock:
            if len(self._calls) >= _KEPT:
                self._forget_ended()
            self._calls[run_id] = opened

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Count what is streamed, and hold more before it outgrows its hold.

        Raises:
            BudgetExceeded: a budget cannot pay for a longer answer; the stream ends here.
        """
        # Kept cheap, since it runs for every token.
        size = len(token.encode("utf-8", "surrogatepass")) if isinstance(token, str) else 1
        streamed = self._streams.get(run_id)
        if streamed is None:
            opened = self._calls.get(run_id)
            streamed = self._streams[run_id] = opened.streamed() if opened else Streamed(None)
        # A chunk without text (a part of a tool call, a heartbeat) is a token at the most.
        if streamed.add(size or 1) and run_id in self._calls:
            from llmcost_langchain.errors import keep_up

            keep_up(self._calls[run_id], streamed)

    def on_llm_end(self, response: "LLMResult", *, run_id: UUID, **kwargs: Any) -> None:
        """Settle with the usage that the provider reported. Never raises."""
        opened, streamed = self._take(run_id)
        if opened is not None:
            from llmcost_langchain._settle import settle_answer

            self._add(settle_answer(opened, response, streamed))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle what a failed, broken off or cancelled call has cost. Never raises."""
        opened, streamed = self._take(run_id)
        if opened is not None:
            from llmcost_langchain._settle import settle_error

            self._add(settle_error(opened, error, kwargs.get("response"), streamed))

    def _take(self, run_id: UUID) -> tuple["OpenCall | None", int]:
        with self._lock:
            streamed = self._streams.pop(run_id, None)
            return self._calls.pop(run_id, None), streamed.received_bytes if streamed else 0

    def _add(self, outcome: "Outcome | None") -> None:
        with self._lock:
            self._count += 1
            if outcome is not None:
                self._cost += outcome.cost
                self._saved += outcome.saved

    def _forget_ended(self) -> None:
        """Drop the calls whose end this handler was never told of."""
        for run_id in [run_id for run_id, call in self._calls.items() if call.ended]:
            del self._calls[run_id]
            self._streams.pop(run_id, None)


def _kind(serialized: Mapping[str, Any] | None) -> str:
    path = (serialized or {}).get("id") or ["unknown"]
    return str((serialized or {}).get("name") or path[-1])

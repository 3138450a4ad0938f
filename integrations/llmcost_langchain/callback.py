"""`CostCallbackHandler`: records every model call of a chain, stops what cannot be paid."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from llmcost_langchain._live import LiveCall, LiveCalls
from llmcost_langchain._runs import run_roots
from llmcost_plugins.labels import Labels, make_labels, take_labels
from llmcost_plugins.spending import Spending

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

    from llmcost_plugins.calls import CallSpec
    from llmcost_plugins.ledger import Outcome
    from llmcost_plugins.pricing import CallSize
    from llmcost_plugins.pricing.sizes import PromptSizer
    from llmcost_plugins.tracker import CostTracker


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
        ConfigurationError: an argument cannot be used.
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
        if tracker is not None:
            # Here, since a handler without one loads nothing of the tracker's.
            from llmcost_plugins.given import tracker_given

            tracker = tracker_given(tracker, "CostCallbackHandler(tracker, feature='chat')")
        self._tracker = tracker
        self.labels: Labels = make_labels(labels, tags)
        self._live = LiveCalls(self._cut_off)
        self._spending = Spending()

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
        return self._spending.total

    @property
    def saved(self) -> Decimal:
        """USD that cached answers among them would have cost."""
        return self._spending.saved

    @property
    def calls(self) -> int:
        """How many calls this handler has seen end."""
        return self._spending.calls

    def on_chain_start(  # noqa: PLR0913 - LangChain's signature
        self,
        serialized: Mapping[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        run_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note the run; hold for a decision model, whose calls are reported as chains.

        Raises:
            BudgetExceeded: see `on_chat_model_start`; and what else that raises.
        """
        run_roots.enter(run_id, parent_run_id)
        if run_type != "llm" or not (metadata and metadata.get("ls_model_name")):
            return
        from llmcost_langchain._messages import decision_size

        def measure(sizer: "PromptSizer") -> "CallSize":
            return decision_size(sizer, inputs)

        try:
            self._start(run_id, parent_run_id, serialized, measure, metadata, kwargs)
        except BaseException:
            run_roots.leave(run_id)
            raise

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)
        call = self._live.take(run_id)
        if call is not None:
            from llmcost_langchain._settle import settle_decision

            self.count(settle_decision(call, outputs))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)
        if isinstance(error, asyncio.CancelledError):
            self._live.end_children(run_id)
        call = self._live.take(run_id)
        if call is not None:
            from llmcost_langchain._settle import settle_error

            self.count(settle_error(call, error, None))

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

    def on_retriever_start(
        self,
        serialized: Mapping[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        run_roots.enter(run_id, parent_run_id)

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        run_roots.leave(run_id)

    def on_chat_model_start(
        self,
        serialized: Mapping[str, Any] | None,
        messages: Sequence[Sequence["BaseMessage"]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
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

        self._start(run_id, parent_run_id, serialized, measure, about, kwargs)

    def on_llm_start(
        self,
        serialized: Mapping[str, Any] | None,
        prompts: Sequence[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Hold the most that a completion call can cost; raises as `on_chat_model_start` does."""
        from llmcost_langchain._messages import text_size

        about, params = metadata or {}, kwargs.get("invocation_params") or {}

        def measure(sizer: "PromptSizer") -> "CallSize":
            return text_size(sizer, prompts[0], params, about)

        self._start(run_id, parent_run_id, serialized, measure, about, kwargs)

    def _start(  # noqa: PLR0913, PLR0917 - what LangChain tells of a call
        self,
        run_id: UUID,
        parent: UUID | None,
        serialized: Mapping[str, Any] | None,
        measure: Callable[["PromptSizer"], "CallSize"],
        metadata: dict[str, Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        from llmcost_langchain.errors import join, start

        tracker, batch = self.tracker, self._live.batch(parent, kwargs.get("batch_size"))
        opened = tracker.find(str(run_id))
        try:
            if opened is not None:
                join(tracker, opened, self.labels)
            else:
                spec = self._spec(run_id, parent, serialized, measure, metadata, kwargs)
                opened = start(tracker, spec)
        except BaseException:
            self._live.refuse(batch)
            raise
        self._live.add(run_id, opened, parent, batch)

    def _spec(  # noqa: PLR0913, PLR0917 - see _start
        self,
        run_id: UUID,
        parent: UUID | None,
        serialized: Mapping[str, Any] | None,
        measure: Callable[["PromptSizer"], "CallSize"],
        metadata: dict[str, Any],
        kwargs: Mapping[str, Any],
    ) -> "CallSpec":
        from llmcost_langchain._messages import model_of, own_tags
        from llmcost_plugins.calls import CallSpec

        tracker = self.tracker
        name = model_of(metadata, kwargs.get("invocation_params") or {}, _kind(serialized))
        tags = own_tags(kwargs.get("tags") or ())
        return CallSpec(
            id=str(run_id),
            model=name.model,
            provider=name.provider,
            size=measure(tracker.sizer(name.model)),
            labels=take_labels(tracker.label_keys, metadata, tags),
            defaults=self.labels,
            run=str(run_roots.root_of(run_id, parent)),
        )

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Count what is streamed, and hold more before it outgrows its hold.

        Raises:
            BudgetExceeded: a budget cannot pay for a longer answer; the stream ends here.
        """
        # Kept cheap, since it runs for every token.
        call = self._live.get(run_id)
        if call is None:
            return
        call.by_token = True
        size = len(token.encode("utf-8", "surrogatepass")) if isinstance(token, str) else 1
        # A chunk without text (a part of a tool call, a heartbeat) is a token at the most.
        if call.streamed.add(size or 1):
            self._keep_up(call)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> Any:
        """Count what an event stream brings, and remember the usage that its last event reports.

        Raises:
            BudgetExceeded: see `on_llm_new_token`.
        """
        call = self._live.get(run_id)
        if call is None:
            return
        call.by_event = True
        kind = event.get("event")
        if kind == "message-finish":
            call.said = event.get("usage")
        elif kind == "content-block-delta" and not call.by_token:
            from llmcost_langchain._messages import delta_bytes

            if call.streamed.add(delta_bytes(event) or 1):
                self._keep_up(call)

    @staticmethod
    def _keep_up(call: LiveCall) -> None:
        from llmcost_langchain.errors import keep_up

        keep_up(call.opened, call.streamed)

    def on_llm_end(self, response: "LLMResult", *, run_id: UUID, **kwargs: Any) -> None:
        """Settle with the usage that the provider reported. Never raises."""
        call = self._live.take(run_id)
        if call is not None:
            from llmcost_langchain._settle import settle_answer

            self.count(settle_answer(call, response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle what a failed, broken off or cancelled call has cost. Never raises."""
        call = self._live.take(run_id)
        if call is None:
            return
        from llmcost_langchain._settle import settle_dropped, settle_error

        self.count(settle_error(call, error, kwargs.get("response")))
        answered, unsent = self._live.take_batch(call)
        for other in answered:
            self.count(settle_dropped(other))
        for other in unsent:
            other.opened.release()

    def _cut_off(self, call: LiveCall) -> None:
        from llmcost_langchain._settle import settle_error

        self.count(settle_error(call, asyncio.CancelledError(), None))

    def count(self, outcome: "Outcome | None") -> None:
        """Count a call that has ended; for calls that no event of LangChain tells of."""
        cost, saved = (outcome.cost, outcome.saved) if outcome is not None else (0, 0)
        self._spending.add(cost, saved)


def _kind(serialized: Mapping[str, Any] | None) -> str:
    path = (serialized or {}).get("id") or ["unknown"]
    return str((serialized or {}).get("name") or path[-1])

"""Holding the money of a model call that an agent makes, on behalf of `CostMiddleware`."""

from collections.abc import Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast
from uuid import UUID

from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.callbacks import BaseCallbackManager, CallbackManager
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

from llmcost_langchain._messages import chat_size
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_langchain.errors import astart, start
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import BudgetExceeded, LLMCostError
from llmcost_plugins.labels import Labels
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.sizes import PromptSizer

if TYPE_CHECKING:
    from llmcost_plugins.tracker import CostTracker

Request = ModelRequest[Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the middleware knows of a call that its model does not report.

    Attributes:
        tracker: where it is held.
        defaults: who causes the calls of this agent.
        preferred: the model that the agent would rather have used.
        has_alternative: see `CallSpec`.
        may_wait: see `CallSpec`.
        cap_is_ours: see `CallSpec`.
    """

    tracker: "CostTracker"
    defaults: Labels
    preferred: Any = None
    has_alternative: bool = False
    may_wait: bool = True
    cap_is_ours: bool = False


class Refused(BaseException):
    """Carries what `Holding` refuses with to the `Step` around it, and no further.

    Not an `Exception`: of such a one LangChain logs a warning for each model that is passed over,
    and middleware in between would take it for a failure to repeat.
    """

    def __init__(self, reason: LLMCostError) -> None:
        super().__init__(reason)
        self.reason = reason


class Holding(CostCallbackHandler):
    """Holds the money of each model call below it, and stands for the handlers that record it.

    In their place, and behind all others, because of how LangChain starts a call on an event loop:
    a handler that stands before this one would hold first, and refuse where this one waits; one
    that stands behind it is left with a coroutine that nobody awaits when this one refuses.
    """

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts.tracker)
        self.labels = facts.defaults
        self.opened: list[OpenCall] = []
        self.refused: CallSpec | None = None
        self.stopped = False
        self._facts = facts
        self._others: list[CostCallbackHandler] = []

    def stand_in(self, manager: Any) -> None:
        """Take the place of the recording handlers in a callback manager."""
        for handlers in (manager.handlers, manager.inheritable_handlers):
            ours = [handler for handler in handlers if isinstance(handler, CostCallbackHandler)]
            self._others += [handler for handler in ours if handler not in self._others]
            handlers[:] = [*(handler for handler in handlers if handler not in ours), self]

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> Any:
        """Hold.

        Raises:
            Refused: a budget cannot pay for it, no price is known, or nothing can be held.
        """
        spec = self._described(*args, **kwargs)
        if spec is not None:
            try:
                self._hold(start(self.tracker, spec))
            except LLMCostError as error:
                raise Refused(error) from None
        self._tell_start(args, kwargs)

    def _hold(self, opened: OpenCall) -> None:
        self.opened.append(opened)
        self.refused = None

    def _tell_start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # They find the call held.
        CostCallbackHandler.on_chat_model_start(self, *args, **kwargs)
        for other in self._others:
            other.on_chat_model_start(*args, **kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """See `CostCallbackHandler`."""
        super().on_llm_new_token(token, **kwargs)
        for other in self._others:
            other.on_llm_new_token(token, **kwargs)

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        """See `CostCallbackHandler`."""
        super().on_stream_event(event, **kwargs)
        for other in self._others:
            other.on_stream_event(event, **kwargs)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """See `CostCallbackHandler`."""
        super().on_llm_end(response, **kwargs)
        for other in self._others:
            other.on_llm_end(response, **kwargs)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """See `CostCallbackHandler`; note a refusal that came when the answer was on its way."""
        self.stopped = self.stopped or isinstance(error, BudgetExceeded)
        super().on_llm_error(error, **kwargs)
        for other in self._others:
            other.on_llm_error(error, **kwargs)

    def _described(
        self,
        serialized: Mapping[str, Any] | None,
        messages: Sequence[Sequence[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> CallSpec | None:
        """Describe a call; `None` when it is held already, by a router."""
        facts = self._facts
        if facts.tracker.find(str(run_id)) is not None:
            return None
        about, params = metadata or {}, kwargs.get("invocation_params") or {}

        def measure(sizer: PromptSizer) -> CallSize:
            return chat_size(sizer, messages[0], params, about)

        # Kept until it is granted: then it says what did not fit.
        self.refused = replace(
            self._spec(run_id, parent_run_id, serialized, measure, about, kwargs),
            preferred=facts.preferred.model if facts.preferred else None,
            preferred_provider=facts.preferred.provider if facts.preferred else None,
            has_alternative=facts.has_alternative,
            may_wait=facts.may_wait,
            watched=True,
            cap_is_ours=facts.cap_is_ours,
        )
        return self.refused

    def settle(self, error: BaseException | None) -> None:
        """See to it that all calls have ended: of a cancelled one LangChain reports nothing."""
        for opened in self.opened:
            if error is not None:
                opened.broke(error, received_bytes=0, usage=None)
            elif not opened.settled:
                opened.finish(opened.estimated_usage(None))


class AsyncHolding(Holding):
    """The same on an event loop, where it waits by awaiting."""

    async def on_chat_model_start(  # type: ignore[override]  # LangChain awaits it
        self, *args: Any, **kwargs: Any
    ) -> None:
        """See `Holding.on_chat_model_start`."""
        spec = self._described(*args, **kwargs)
        if spec is not None:
            try:
                self._hold(await astart(self.tracker, spec))
            except LLMCostError as error:
                raise Refused(error) from None
        self._tell_start(args, kwargs)


class Step:
    """One request to make. As a context manager it keeps the error, for whoever has yielded it.

    Within it the holding sees the model calls, and after it they have ended.

    Attributes:
        request: what to ask the agent's model for.
        holding: what holds the money.
        response: set it to the answer.
    """

    def __init__(self, request: Request, holding: Holding) -> None:
        self.request = request
        self.holding = holding
        self.response: ModelResponse[Any] | None = None
        self._error: Exception | None = None
        self._token: Token[RunnableConfig | None] | None = None

    def __enter__(self) -> Self:
        config = var_child_runnable_config.get() or {}
        manager = _manager(config.get("callbacks"))
        self.holding.stand_in(manager)
        config = cast("RunnableConfig", {**config, "callbacks": manager})
        self._token = var_child_runnable_config.set(config)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self._token is not None  # noqa: S101 - set on entering
        var_child_runnable_config.reset(self._token)
        if isinstance(error, Refused):
            self._error = error.reason
        elif isinstance(error, Exception):
            self._error = error
        self.holding.settle(self._error or error)
        return self._error is not None

    def answer(self) -> ModelResponse[Any]:
        """Return the response, or raise what stood in its way."""
        if self._error is not None:
            raise self._error
        assert self.response is not None  # noqa: S101 - a step ends with the one or the other
        return self.response


def _manager(callbacks: Any) -> Any:
    if isinstance(callbacks, BaseCallbackManager):
        return callbacks.copy()
    handlers = list(callbacks or [])
    return CallbackManager(handlers, list(handlers))

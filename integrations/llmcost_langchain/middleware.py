"""`CostMiddleware`: dollar limits for the runs and threads of an agent."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import uuid4

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        AgentState,
        ContextT,
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        ResponseT,
        ToolCallRequest,
    )
except ImportError as error:
    from llmcost_plugins.errors import MissingExtra

    raise MissingExtra.of("langchain", "langchain") from error  # noqa: EM101 - names

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command

from llmcost_langchain._agent_state import CostState
from llmcost_langchain._books import Bookkeeper, Books
from llmcost_langchain._candidates import chat_models
from llmcost_langchain._endings import ending_text, usd_limit
from llmcost_langchain._holding import AsyncHolding, Holding, Request
from llmcost_langchain._turn import Turn
from llmcost_plugins import errors as core
from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.labels import make_labels
from llmcost_plugins.money import nano_to_usd

if TYPE_CHECKING:
    from llmcost_plugins.tracker import CostTracker

ModelCall = Callable[[Request], ModelResponse[Any]]
ToolCall = Callable[[ToolCallRequest], ToolMessage | Command[Any]]

_EXITS: Final = ("end", "error")


class CostMiddleware(AgentMiddleware[AgentState[Any], ContextT, ResponseT]):
    """Limits in dollars for the runs and threads of an agent; records all that it spends.

    The most that a model call can cost is held before it is sent, in the run, in the thread, and in
    the process's own budgets; what tools and the agents in them spend counts as well. A call that
    does not fit is made with a cheaper model, for which the agent binds tools and response format
    anew; where none fits, the run ends with a message, or raises. Runs of one thread may go on at
    the same time: they share its limit, in several processes once the thread has a checkpoint. The
    length of an answer is capped as `FallbackRouter` does.

    It may stand anywhere in the list of middleware: nothing is counted twice, and a refusal is no
    error for `ModelRetryMiddleware` to repeat. First, it also counts the model calls that others
    make around the agent's. Those they make in steps of their own, such as summaries, are recorded
    by an attached `CostCallbackHandler`, and held to the process's budgets only.

    ``message.response_metadata["llmcost"]`` of an answer says which model gave it, for how much,
    and what the run and the thread have cost, in USD; of a message that ended a run, in
    ``"refused"`` what did not fit.

    Args:
        thread_limit: USD for all runs of a thread; what is spent is kept by the checkpointer.
            Without one, a thread lasts for one run.
        run_limit: USD for one run; one resumed after an interrupt goes on with it.
        models: cheaper models, from preferred to cheapest, or their names for `init_chat_model`.
        exit_behavior: ``end`` the run with a message where nothing fits, or raise `BudgetExceeded`
            as an ``error``. A tool that runs into a limit tells the model so, or raises.
        message: what to say at such an end, or what makes it of the refusal.
        tracker: where to record; by default that of an attached `CostCallbackHandler`, else the one
            set up by the environment variables.
        tags: words for the calls of this agent.
        labels: who causes them, e.g. ``feature="support"``. `attribute` blocks and the config's
            metadata win over these, and these over the labels of an attached handler.

    Raises:
        ConfigurationError: an argument cannot be used.
    """

    # Its base class in the signature: type checkers take no list of middleware with several.
    state_schema = CostState

    def __init__(  # noqa: PLR0913 - keyword-only settings with defaults
        self,
        *,
        thread_limit: Decimal | str | int | None = None,
        run_limit: Decimal | str | int | None = None,
        models: Sequence[BaseChatModel | str] = (),
        exit_behavior: Literal["end", "error"] = "end",
        message: str | Callable[[core.BudgetExceeded], str] | None = None,
        tracker: "CostTracker | None" = None,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> None:
        super().__init__()
        if exit_behavior not in _EXITS:
            choices = describe_choices(_EXITS)
            msg = f"exit_behavior={exit_behavior!r} is not one of {choices}"
            raise ConfigurationError(msg)
        self.models = chat_models(models)
        self.exit_behavior = exit_behavior
        self.message = message
        self._keeper = Bookkeeper(
            usd_limit("run_limit", run_limit),
            usd_limit("thread_limit", thread_limit),
            make_labels(labels, tags),
            tracker,
        )

    @staticmethod
    def thread_cost(state: Mapping[str, Any]) -> Decimal:
        """Return the USD that a thread has cost.

        Args:
            state: the values of a checkpoint, ``agent.get_state(config).values``.
        """
        return nano_to_usd(sum(state.get("llmcost_thread", {}).values()))

    def before_agent(
        self,
        state: AgentState[Any],  # noqa: ARG002 - LangChain's signature
        runtime: Runtime[ContextT],  # noqa: ARG002 - LangChain's signature
    ) -> dict[str, Any]:
        """Begin to count a run."""
        self._keeper.in_use()  # says early what cannot work
        return {"llmcost_run": {uuid4().hex: 0}}

    async def abefore_agent(
        self, state: AgentState[Any], runtime: Runtime[ContextT]
    ) -> dict[str, Any]:
        """See `before_agent`."""
        return self.before_agent(state, runtime)

    def after_agent(
        self,
        state: AgentState[Any],
        runtime: Runtime[ContextT],  # noqa: ARG002 - LangChain's signature
    ) -> dict[str, Any]:
        """Write down what tools have spent last; give up what was needed for the run."""
        return dict(self._keeper.close(state).state())

    async def aafter_agent(
        self, state: AgentState[Any], runtime: Runtime[ContextT]
    ) -> dict[str, Any]:
        """See `after_agent`."""
        return self.after_agent(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[ContextT], handler: ModelCall
    ) -> ExtendedModelResponse[Any]:
        """Make the call with the best model that the limits and budgets pay for.

        Raises:
            BudgetExceeded: none fits, and *exit_behavior* is ``error``.
        """
        with self._keeper.charged(request.state) as books:
            turn = self._turn(request, books, Holding)
            for step in turn.steps():
                with step:
                    step.response = handler(step.request)
        return _response_of(turn)

    async def awrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[Request], Awaitable[ModelResponse[Any]]],
    ) -> ExtendedModelResponse[Any]:
        """See `wrap_model_call`; waits for calls in flight by awaiting."""
        with self._keeper.charged(request.state) as books:
            turn = self._turn(request, books, AsyncHolding)
            for step in turn.steps():
                with step:
                    step.response = await handler(step.request)
        return _response_of(turn)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: ToolCall
    ) -> ToolMessage | Command[Any]:
        """Count what a tool spends on models."""
        with self._keeper.charged(request.state):
            try:
                return handler(request)
            except core.BudgetExceeded as error:
                return self._told(request, error)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """See `wrap_tool_call`."""
        with self._keeper.charged(request.state):
            try:
                return await handler(request)
            except core.BudgetExceeded as error:
                return self._told(request, error)

    def _told(self, request: ToolCallRequest, error: core.BudgetExceeded) -> ToolMessage:
        if self.exit_behavior == "error":
            raise error
        call = request.tool_call
        return ToolMessage(str(error), tool_call_id=call["id"], name=call["name"], status="error")

    def _turn(self, request: Request, books: Books, holding: type[Holding]) -> Turn:
        ending = self._text if self.exit_behavior == "end" else None
        return Turn(self.models, request, books, holding, ending)

    def _text(self, error: core.BudgetExceeded) -> str:
        if self.message is None:
            return ending_text(error)
        return self.message if isinstance(self.message, str) else self.message(error)


def _response_of(turn: Turn) -> ExtendedModelResponse[Any]:
    assert turn.response is not None  # noqa: S101 - the steps end by setting it or raising
    return turn.response

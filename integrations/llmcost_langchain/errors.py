"""The errors that leave this adapter, as LangChain's retry and fallback code understands them."""

from langchain_core.exceptions import ModelError

from llmcost_plugins import errors as core
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.labels import Labels
from llmcost_plugins.streams import Streamed
from llmcost_plugins.tracker import CostTracker


class BudgetExceeded(core.BudgetExceeded, ModelError):  # noqa: N818 - the core's name
    """The core's `BudgetExceeded` that is also LangChain's `ModelError`, not worth a retry.

    LangChain's retry middleware turns other exceptions into an answer text after some attempts.
    """

    is_retryable = False

    @classmethod
    def of(cls, error: core.BudgetExceeded) -> "BudgetExceeded":
        """Return *error* as this class."""
        return cls(error.refusal, error.model, waited=error.waited)


def start(tracker: CostTracker, spec: CallSpec) -> OpenCall:
    """Start a call; a refusal is raised as this adapter's `BudgetExceeded`."""
    try:
        return tracker.start(spec)
    except core.BudgetExceeded as error:
        raise BudgetExceeded.of(error) from None


def join(tracker: CostTracker, call: OpenCall, labels: Labels) -> None:
    """Charge a call to more labels; a refusal is raised as this adapter's `BudgetExceeded`."""
    try:
        tracker.join(call, labels)
    except core.BudgetExceeded as error:
        raise BudgetExceeded.of(error) from None


def keep_up(call: OpenCall, streamed: Streamed) -> None:
    """Hold more for a stream; a refusal is raised as this adapter's `BudgetExceeded`."""
    try:
        call.keep_up(streamed)
    except core.BudgetExceeded as error:
        raise BudgetExceeded.of(error) from None


async def astart(tracker: CostTracker, spec: CallSpec) -> OpenCall:
    """Do what `start` does, and wait by awaiting."""
    try:
        return await tracker.astart(spec)
    except core.BudgetExceeded as error:
        raise BudgetExceeded.of(error) from None

"""What an agent's run and thread are charged with, and where that is counted."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables.config import var_child_runnable_config

from llmcost_langchain._agent_state import Counter, Counters, Spent
from llmcost_langchain._endings import RUN_SCOPE, THREAD_SCOPE
from llmcost_langchain._recorders import recorders_among
from llmcost_langchain._runs import run_roots
from llmcost_langchain.attach import attachment
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.blocks import entered
from llmcost_plugins.errors import ConfigurationError, LedgerUnavailable
from llmcost_plugins.labels import Labels, attribute, current_labels
from llmcost_plugins.money import usd_string

if TYPE_CHECKING:
    from llmcost_plugins.tracker import CostTracker


@dataclass(frozen=True, slots=True)
class Books:
    """What is counted for the run and thread of one model or tool call.

    Attributes:
        tracker: where calls are recorded.
        defaults: who causes them.
        root: the outermost run.
        run: the run's counter.
        thread: the thread's.
        run_spent: what the state says of the run.
        thread_spent: what it says of the thread.
    """

    tracker: "CostTracker"
    defaults: Labels
    root: UUID
    run: Counter
    thread: Counter
    run_spent: Spent
    thread_spent: Spent

    def state(self) -> dict[str, Spent]:
        """Return what the state is to say now."""
        return {
            "llmcost_run": {**self.run_spent, self.run.id: self.run.nano},
            "llmcost_thread": {**self.thread_spent, self.thread.id: self.thread.nano},
        }

    def note(self) -> dict[str, str]:
        """Return the USD spent, for the metadata of a message."""
        state = self.state()
        return {
            "run_usd": usd_string(sum(state["llmcost_run"].values())),
            "thread_usd": usd_string(sum(state["llmcost_thread"].values())),
        }


class Bookkeeper:
    """Opens the books of the runs and threads of an agent.

    Args:
        run_limit: nano-dollars for a run; `None` for no limit.
        thread_limit: likewise for a thread.
        labels: who causes the calls of the agent.
        tracker: where to record; `None` for that of an attached handler or the default one.
    """

    def __init__(
        self,
        run_limit: int | None,
        thread_limit: int | None,
        labels: Labels,
        tracker: "CostTracker | None",
    ) -> None:
        self._runs = Counters(RUN_SCOPE, run_limit)
        self._threads = Counters(THREAD_SCOPE, thread_limit)
        self.labels = labels
        self._tracker = tracker

    def in_use(self) -> tuple["CostTracker", Labels]:
        """Return the tracker, and the labels of the handlers that record there."""
        ours = recorders_among(_handlers_of(_config().get("callbacks")), self._tracker)
        if not ours.agree:
            msg = (
                "CostMiddleware and an attached CostCallbackHandler have different trackers, so "
                "that limits would not see all calls; give both the same, or only one of them "
                "(LLMCOST_ENABLED attaches a handler with the default tracker)"
            )
            raise ConfigurationError(msg)
        return ours.tracker, ours.labels

    def of(self, state: Mapping[str, Any]) -> Books:
        tracker, defaults = self.in_use()
        run_spent, thread_spent = state.get("llmcost_run", {}), state.get("llmcost_thread", {})
        run_id = next(iter(run_spent), "")
        thread_key = _thread_key(_config().get("configurable", {}), run_id)
        return Books(
            tracker=tracker,
            defaults=defaults,
            root=UUID(run_id) if run_id else uuid4(),
            run=self._runs.find(thread_key, run_spent, tracker.ledger),
            thread=self._threads.find(thread_key, thread_spent, tracker.ledger),
            run_spent=run_spent,
            thread_spent=thread_spent,
        )

    @contextmanager
    def charged(self, state: Mapping[str, Any]) -> Iterator[Books]:
        """Charge every model call inside to the run and the thread, and see that it is recorded."""
        books = self.of(state)
        labels = self.labels.merged(current_labels())
        with ExitStack() as stack:
            node = getattr(_config().get("callbacks"), "parent_run_id", None)
            if node is not None and run_roots.of(node) == node:
                # Nobody has told of the outermost run; the steps of a run belong together.
                run_roots.enter(node, books.root)
                stack.callback(run_roots.leave, node)
            stack.enter_context(attribute(tags=labels.tags, **labels.values))
            stack.enter_context(entered(self._runs.block(books.run, books.run_spent)))
            stack.enter_context(entered(self._threads.block(books.thread, books.thread_spent)))
            stack.enter_context(attachment.within(CostCallbackHandler(books.tracker)))
            yield books

    def close(self, state: Mapping[str, Any]) -> Books:
        """Return the books of a run that has ended; give up what was needed for it."""
        books = self.of(state)
        try:
            self._runs.end(books.run, books.tracker.ledger)
        except LedgerUnavailable:
            books.tracker.note_failure("the bucket of the run %s could not be removed", books.root)
        return books


def _config() -> Mapping[str, Any]:
    return var_child_runnable_config.get() or {}


def _handlers_of(callbacks: Any) -> list[BaseCallbackHandler]:
    """Return the handlers of a config's callbacks."""
    if isinstance(callbacks, BaseCallbackManager):
        return list(callbacks.handlers)
    return list(callbacks or [])


def _thread_key(configurable: Mapping[str, Any], run_id: str) -> str:
    """Name the thread of this agent; an agent inside another has threads of its own."""
    thread = configurable.get("thread_id")
    if thread is None:
        return run_id
    # Of each part of the path only the node: what follows is another in each step.
    path = str(configurable.get("checkpoint_ns", "")).split("|")[:-1]
    return "|".join([str(thread), *(part.partition(":")[0] for part in path)])

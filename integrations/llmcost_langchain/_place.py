"""Where in a chain something without callbacks of its own is called: who causes it, in which run.

LangChain keeps the config of the step that runs in a context variable. Embeddings are told nothing
else; compressors are given the callbacks of the retriever that uses them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager, Callbacks
from langchain_core.runnables.config import var_child_runnable_config

from llmcost_langchain._messages import own_tags
from llmcost_langchain._recorders import recorders_among
from llmcost_langchain._runs import run_roots, running_run
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.labels import Labels, take_labels
from llmcost_plugins.ledger import Outcome
from llmcost_plugins.tracker import CostTracker


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls are recorded, and who causes them.

    Attributes:
        tracker: where.
        labels: what the chain's config says, see `CallSpec.labels`.
        defaults: the labels of the attached handlers, under those of the wrapper.
        run: the outermost run; one of its own outside of any chain.
        handlers: the attached handlers of that tracker, whose totals count what is spent here.
    """

    tracker: CostTracker
    labels: Labels
    defaults: Labels
    run: str
    handlers: tuple[CostCallbackHandler, ...]

    def count(self, outcome: Outcome | None) -> None:
        """Let the handlers know of a call that has ended."""
        for handler in self.handlers:
            handler.count(outcome)


def find_place(tracker: CostTracker | None, own: Labels, callbacks: Callbacks = None) -> Place:
    """Return the place of what is called here and now.

    Args:
        tracker: where to record; by default where the chain's handlers do.
        own: the labels of the wrapper.
        callbacks: those that the caller was given, if any.

    Raises:
        ConfigurationError: a setting of the process-wide tracker cannot be used.
    """
    config: Mapping[str, Any] = var_child_runnable_config.get() or {}
    around: tuple[Callbacks, ...] = (config.get("callbacks"), callbacks)
    ours = recorders_among((one for each in around for one in _handlers(each)), tracker)
    metadata, tags = dict(config.get("metadata") or {}), list(config.get("tags") or ())
    for manager in around:
        if isinstance(manager, BaseCallbackManager):
            metadata.update(manager.inheritable_metadata)
            tags.extend(manager.inheritable_tags)
    return Place(
        ours.tracker,
        take_labels(ours.tracker.label_keys, metadata, own_tags(tags)),
        ours.labels.merged(own),
        str(_outermost(callbacks) or uuid4()),
        ours.handlers,
    )


def _handlers(callbacks: Callbacks) -> Sequence[BaseCallbackHandler]:
    return callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or ()


def _outermost(callbacks: Callbacks) -> UUID | None:
    """Return the outermost run: that of the code that runs, or of who gave its callbacks."""
    given = callbacks.parent_run_id if isinstance(callbacks, BaseCallbackManager) else None
    parent = running_run() or given
    return None if parent is None else run_roots.of(parent)

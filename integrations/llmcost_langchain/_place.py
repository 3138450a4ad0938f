"""Where in a chain something without callbacks of its own is called: who causes it, in which run.

LangChain keeps the config of the step that runs in a context variable. Embeddings are told nothing
else; compressors are given the callbacks of the retriever that uses them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackManager, Callbacks
from langchain_core.runnables.config import var_child_runnable_config

from llmcost_langchain._messages import own_tags
from llmcost_langchain._runs import run_roots
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.labels import Labels, take_labels
from llmcost_plugins.ledger import Outcome
from llmcost_plugins.tracker import CostTracker, default_tracker


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
    attached = [one for each in around for one in _handlers(each)]
    used = tracker or (attached[0].tracker if attached else default_tracker())
    handlers = tuple({id(one): one for one in attached if one.tracker is used}.values())
    defaults = Labels()
    for handler in handlers:
        defaults = defaults.merged(handler.labels)
    metadata, tags = dict(config.get("metadata") or {}), list(config.get("tags") or ())
    for manager in around:
        if isinstance(manager, BaseCallbackManager):
            metadata.update(manager.inheritable_metadata)
            tags.extend(manager.inheritable_tags)
    return Place(
        used,
        take_labels(used.label_keys, metadata, own_tags(tags)),
        defaults.merged(own),
        str(_outermost(around) or uuid4()),
        handlers,
    )


def _handlers(callbacks: Callbacks) -> list[CostCallbackHandler]:
    all_ = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or ()
    return [one for one in all_ if isinstance(one, CostCallbackHandler)]


def _outermost(around: tuple[Callbacks, ...]) -> UUID | None:
    """Return the outermost run, as the config has it if it can.

    A retriever's own run, which its callbacks name, is not followed by the handlers.
    """
    managers = (one for one in around if isinstance(one, BaseCallbackManager))
    parents = (manager.parent_run_id for manager in managers)
    parent = next((one for one in parents if one is not None), None)
    return None if parent is None else run_roots.of(parent)

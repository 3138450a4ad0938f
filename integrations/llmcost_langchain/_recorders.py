"""The handlers of ours among those of a run: where it is recorded, and who causes it."""

from collections.abc import Iterable
from dataclasses import dataclass

from langchain_core.callbacks import BaseCallbackHandler

from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.labels import Labels
from llmcost_plugins.tracker import CostTracker, default_tracker


@dataclass(frozen=True, slots=True)
class Recorders:
    """Those of ours that record where a run is recorded.

    Attributes:
        tracker: where.
        handlers: the handlers, each once.
        labels: theirs, merged.
        agree: whether no handler of ours records elsewhere.
    """

    tracker: CostTracker
    handlers: tuple[CostCallbackHandler, ...]
    labels: Labels
    agree: bool


def recorders_among(
    handlers: Iterable[BaseCallbackHandler], tracker: CostTracker | None
) -> Recorders:
    """Find our handlers.

    Args:
        handlers: those of a run.
        tracker: where to record; by default where the first of ours does, or else the one set up by
            the environment variables.

    Raises:
        ConfigurationError: a setting of the process-wide tracker cannot be used.
    """
    ours = {id(one): one for one in handlers if isinstance(one, CostCallbackHandler)}
    attached = tuple(ours.values())
    used = tracker or (attached[0].tracker if attached else default_tracker())
    mine = tuple(one for one in attached if one.tracker is used)
    labels = Labels()
    for handler in mine:
        labels = labels.merged(handler.labels)
    return Recorders(used, mine, labels, len(mine) == len(attached))

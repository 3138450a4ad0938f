"""What becomes of a request that the cache has answered: an entry of the ledger, and an event."""

from typing import Any, Final
from uuid import uuid4

from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import active_instrument_tags
from llama_index_instrumentation.span import active_span_id

from llmcost_llamaindex import handler
from llmcost_llamaindex._events import RUN_TAG, read_request
from llmcost_llamaindex._requests import Request
from llmcost_llamaindex._shelf import Planned
from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.labels import Labels, current_labels, take_labels
from llmcost_plugins.money import usd_string
from llmcost_plugins.tracker import CostTracker, default_tracker
from llmcost_plugins.usage import Trust, Usage

_dispatcher: Final = get_dispatcher(__name__)


class CacheHitEvent(BaseEvent):
    """A request was answered from the cache; no event of LlamaIndex tells of it.

    Attributes:
        model: the model that was not asked.
        form: what was asked for: ``chat``, ``completion``, ``prediction`` or ``structure``.
        saved_usd: what asking it would have cost, in USD; `None` where that is not known.
        stored_at: when the answer was stored, in ISO format.
    """

    model: str
    form: str
    saved_usd: str | None
    stored_at: str

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the event."""
        return "CacheHitEvent"


def planned_call(
    model: LLM, request: Request, tracker: CostTracker | None, *, streamed: bool
) -> Planned:
    """Describe the call that a request would be, with the labels that are in force here."""
    book = handler.installed_book()
    if tracker is None:
        tracker = default_tracker() if book is None else book.tracker
    span_id, tags = active_span_id.get(), active_instrument_tags.get()
    run = tags.get(RUN_TAG)
    if run is None and span_id is not None and book is not None:
        run = book.spans.outermost(span_id)
    name, provider = _named(model, request)
    said = take_labels(tracker.label_keys, tags, ())
    spec = CallSpec(
        id=str(uuid4()),
        model=name,
        provider=provider,
        size=_SIZELESS,
        # A stream may be read, and its answer stored, elsewhere.
        labels=current_labels().merged(said),
        defaults=Labels() if book is None else book.defaults,
        run=None if run is None else str(run),
    )
    return Planned(model, request, spec, tracker, streamed)


def record_hit(entry: CachedAnswer, planned: Planned) -> OpenCall:
    """Record a call that the cache has answered, and tell LlamaIndex's handlers."""
    usage = entry.usage or Usage(trust=Trust.ESTIMATED)
    opened = planned.tracker.answered(planned.spec, usage, entry.served)
    tell_of_hit(entry, planned, opened)
    return opened

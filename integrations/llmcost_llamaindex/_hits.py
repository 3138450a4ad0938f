"""What becomes of a request that the cache has answered: an entry of the ledger, and an event."""

from dataclasses import replace
from typing import Final

from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import active_instrument_tags
from llama_index_instrumentation.span import active_span_id

from llmcost_llamaindex import _events, _models, handler
from llmcost_llamaindex._calls import Place
from llmcost_llamaindex._requests import Request
from llmcost_llamaindex._shelf import Planned
from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.labels import Labels, current_labels
from llmcost_plugins.money import usd_string
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.tracker import CostTracker, default_tracker
from llmcost_plugins.usage import Trust, Usage

_dispatcher: Final = get_dispatcher(__name__)
_NOTHING_SENT: Final = CallSize(0, None)


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
    span_id, tags = active_span_id.get() or "", active_instrument_tags.get()
    if book is None:
        tracker = default_tracker() if tracker is None else tracker
        place = Place(span_id, str(tags.get(_events.RUN_TAG) or span_id), tags, Labels())
    else:
        tracker = book.tracker if tracker is None else tracker
        place = book.place(span_id, tags)
    sent = _models.sent_by(model, model.class_name(), request.said)
    name = sent.model or model.metadata.model_name
    spec = place.spec(tracker, _events.Request(name, sent.provider, _NOTHING_SENT))
    # A stream may be read, and its answer stored, elsewhere.
    spec = replace(spec, labels=current_labels().merged(spec.labels), run=spec.run or None)
    return Planned(model, request, spec, tracker, streamed)


def leave_to_cache() -> None:
    """Set aside the call around a request that the cache answers: nothing is billed for it."""
    book, span_id = handler.installed_book(), active_span_id.get()
    if book is not None and span_id is not None:
        book.answered_from_cache(span_id)


def record_hit(entry: CachedAnswer, planned: Planned) -> OpenCall:
    """Record a call that the cache has answered, and tell LlamaIndex's handlers."""
    usage = entry.usage or Usage(trust=Trust.ESTIMATED)
    opened = planned.tracker.answered(planned.spec, usage, entry.served)
    saved = None if entry.usage is None or opened.outcome is None else opened.outcome.saved
    _dispatcher.event(
        CacheHitEvent(
            model=planned.spec.model,
            form=planned.request.kind.value,
            saved_usd=None if saved is None else usd_string(saved),
            stored_at=entry.at.isoformat(),
        )
    )
    return opened

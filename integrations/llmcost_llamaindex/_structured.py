"""Structured predictions that tell nobody of their request: Anthropic's and Google's class.

They ask the provider by themselves, without an event, a callback or the rate limiter, and return
the object without its usage. What can be known is the prompt, the object and the caps, which gives
an estimate; what was sent can be refused by nothing but a router.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from inspect import BoundArguments
from typing import Final

from llama_index.core.base.llms.base import BaseLLM

from llmcost_llamaindex._calls import Place
from llmcost_llamaindex._events import Request, describe
from llmcost_llamaindex._models import makes_own_request, may_think, sent_by, structured_kwargs
from llmcost_llamaindex._spans import method_of
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.pricing.sizes import text_bound
from llmcost_plugins.tracker import CostTracker

_log: Final = logging.getLogger("llmcost_plugins")
_METHOD: Final = "structured_predict"
_UNREADABLE: Final = (ValueError, TypeError)
"""What the classes raise for an answer that is no such object: it was billed."""
_HIDDEN: Final = "the model's class does not pass the usage of a structured prediction on"


def is_prediction(span_id: str, llm: object) -> bool:
    """Tell whether a span is of a prediction that may tell nobody of its request."""
    return method_of(span_id).endswith(_METHOD) and makes_own_request(llm)


@dataclass(slots=True)
class _Prediction:
    """One under way; holds the prompt, so it is kept no longer.

    Attributes:
        llm: the model.
        arguments: what its method was called with.
        place: where.
        told: whether an event has told of its call, or a span within it will.
    """

    llm: BaseLLM
    arguments: BoundArguments
    place: Place
    told: bool = False


class Predictions:
    """Records those that no event has told of.

    Args:
        tracker: where.
    """

    def __init__(self, tracker: CostTracker) -> None:
        self._tracker = tracker
        self._open: dict[str, _Prediction] = {}
        self._hinted = False

    def enter(self, llm: BaseLLM, arguments: BoundArguments, place: Place) -> None:
        """Note that one begins."""
        self._open[place.span_id] = _Prediction(llm, arguments, place)

    def told(self, spans: Iterable[str]) -> bool:
        """Note that a call within these spans is told of; return whether one is a prediction's."""
        if not self._open:
            return False
        found = [known for span_id in spans if (known := self._open.get(span_id)) is not None]
        for prediction in found:
            prediction.told = True
        return bool(found)

    def take(self, span_id: str) -> "_Prediction | None":
        """Return the prediction of a span that ends, if nobody has told of its call."""
        prediction = self._open.pop(span_id, None)
        return None if prediction is None or prediction.told else prediction

    def answered(self, prediction: "_Prediction", result: object) -> None:
        """Record an answered one. A stream counts with all that its answer may have."""
        if not self._hinted:
            self._hinted = True
            _log.warning("%s: its cost is estimated, and no budget can stop it", _HIDDEN)
        opened = self._opened(prediction)
        text = getattr(result, "model_dump_json", None)
        received = text_bound(text()) if callable(text) else None
        usage = opened.estimated_usage(received)
        if received is not None and not may_think(prediction.llm):
            usage = replace(usage, output=min(usage.output, received))
        opened.finish(replace(usage, note=_HIDDEN))

    def failed(self, prediction: "_Prediction", error: BaseException) -> None:
        """Record a failed one: billed in full where an answer may have come."""
        opened = self._opened(prediction)
        if isinstance(error, _UNREADABLE):
            opened.fail(error, billed=opened.estimated_usage(None))
        else:
            opened.broke(error, received_bytes=0, usage=None)

    def _opened(self, prediction: "_Prediction") -> OpenCall:
        request = _request_of(prediction, self._tracker)
        return self._tracker.start_late(prediction.place.spec(self._tracker, request))


def _request_of(prediction: _Prediction, tracker: CostTracker) -> Request:
    given = prediction.arguments.arguments
    prompt, more = given["prompt"], given.get("prompt_args") or {}
    llm, kwargs = prediction.llm, structured_kwargs(prediction.llm, given.get("llm_kwargs") or {})
    schema = given["output_cls"].model_json_schema()
    sent = sent_by(llm, "", {**kwargs, "response_format": schema})
    messages = prompt.format_messages(**more)
    return describe(sent, llm.metadata.model_name, messages, tracker.sizer)

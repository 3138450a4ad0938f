"""Recording every call of the process without any code: what `LLMCOST_ENABLED` does."""

import logging
import threading
from typing import Any, Final

from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.span_handlers import NullSpanHandler
from pydantic import Field

from llmcost_plugins.settings.switch import is_enabled

_log: Final = logging.getLogger("llmcost_plugins")
_lock: Final = threading.Lock()


class Waiter(NullSpanHandler):
    """Installs the recorder at the first span that begins while the environment asks for it.

    Until then it does nothing and holds nothing. The dispatcher swallows what a handler raises, so
    a setting that cannot be used is logged once, and raised by the rate limiter of each model that
    is called: a process that is to be guarded makes no call unguarded.
    """

    # A field, since pydantic takes a microsecond for each look at a private attribute.
    told: set[str] = Field(default_factory=set, repr=False, exclude=True)

    def span_enter(self, *args: Any, **kwargs: Any) -> None:
        """Install if that is asked for. The dispatcher tells the recorder of this span, too."""
        instance = kwargs.get("instance")
        try:
            if is_enabled():
                _install()
            if self.told:
                _close(instance, None)
        except Exception as error:  # noqa: BLE001 - raised where it is not swallowed
            reason = str(error)
            if reason not in self.told:
                self.told.add(reason)
                _log.exception("the calls of LlamaIndex cannot be recorded, and are refused")
            _close(instance, reason)


def wait() -> None:
    """Wait for the first span, once. Cheap: no file, no thread, nothing of the framework."""
    with _lock:
        root = get_dispatcher()
        if not any(isinstance(handler, Waiter) for handler in root.span_handlers):
            # The first, so that the recorder, which it adds, hears of the span at hand.
            root.span_handlers = [Waiter(), *root.span_handlers]


def _install() -> None:
    from llmcost_llamaindex.handler import install_once

    install_once()


def _close(instance: object, reason: str | None) -> None:
    """Close the way of a model's calls for a reason, or open it again."""
    from llmcost_llamaindex.gate import ClosedGate, Guarded

    if isinstance(instance, Guarded):
        limiter = instance.rate_limiter
        inner = limiter.inner if isinstance(limiter, ClosedGate) else limiter
        instance.rate_limiter = inner if reason is None else ClosedGate(reason, inner)

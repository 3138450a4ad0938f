"""Recording every call of the process without touching its code."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.tracers.context import register_configure_hook

from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.settings.switch import is_enabled

if TYPE_CHECKING:
    from llmcost_plugins.tracker import CostTracker


class Attachment:
    """Says which handler LangChain attaches to every run: the installed one, or none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here: ContextVar[CostCallbackHandler | None] = ContextVar("llmcost", default=None)
        self._installed: CostCallbackHandler | None = None
        self._tracker: CostTracker | None = None
        self._by_environment: CostCallbackHandler | None = None

    def get(self) -> CostCallbackHandler | None:
        """Return the handler to attach; asked at each run.

        Raises:
            ConfigurationError: ``LLMCOST_ENABLED`` is neither on nor off.
        """
        attached = self._here.get() or self._installed
        if attached is not None:
            return attached
        if not is_enabled():
            return None
        with self._lock:
            if self._by_environment is None:
                self._by_environment = CostCallbackHandler()
            return self._by_environment

    @contextmanager
    def within(self, handler: CostCallbackHandler) -> Iterator[None]:
        """Attach a handler to what runs inside, unless that has one of ours."""
        token = self._here.set(handler)
        try:
            yield
        finally:
            self._here.reset(token)

    def install(self, tracker: "CostTracker | None", labels: Labels) -> CostCallbackHandler:
        """Attach a handler from now on, if none is; return the one that is.

        Raises:
            ConfigurationError: another one is attached.
        """
        with self._lock:
            known = self._installed
            if known is not None and (self._tracker, known.labels) != (tracker, labels):
                msg = (
                    "another handler is installed already, with a tracker or labels of its own; "
                    "call llmcost_langchain.uninstall() first"
                )
                raise ConfigurationError(msg)
            if known is None:
                known = CostCallbackHandler(tracker, tags=labels.tags, **labels.values)
                self._installed, self._tracker = known, tracker
            return known

    def uninstall(self) -> None:
        """Attach none from now on, unless the environment says so."""
        with self._lock:
            self._installed = self._tracker = None


attachment: Final = Attachment()
# LangChain asks nothing of the variable but `get()`. One of `contextvars` would be unset in every
# thread but this one.
register_configure_hook(cast("Any", attachment), inheritable=True, handle_class=CostCallbackHandler)


def install(
    tracker: "CostTracker | None" = None, *, tags: Iterable[str] = (), **labels: str | int | None
) -> CostCallbackHandler:
    """Record and guard every model call that LangChain makes in this process from now on.

    A run that has a `CostCallbackHandler` of its own keeps to that one. Installing again what is
    installed changes nothing. ``LLMCOST_ENABLED=true`` does the same without any code.

    Args:
        tracker: where to record; by default the one set up by the environment variables.
        tags: words for the calls seen here.
        labels: who causes them, see `CostCallbackHandler`.

    Returns:
        The handler, which knows what the calls have cost.

    Raises:
        ConfigurationError: an argument cannot be used, or something else is installed.
    """
    return attachment.install(tracker, make_labels(labels, tags))


def uninstall() -> None:
    """Stop attaching the installed handler; calls under way are still recorded."""
    attachment.uninstall()

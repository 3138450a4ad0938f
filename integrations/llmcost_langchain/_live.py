"""The calls that a handler has seen begin and not yet end, and who may end them for LangChain."""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from llmcost_plugins.loops import running_task

if TYPE_CHECKING:
    from llmcost_plugins.calls import OpenCall
    from llmcost_plugins.guard import Owner
    from llmcost_plugins.streams import Streamed

_KEPT: Final = 1024


class Batch:
    """The prompts of one `generate`: all of them begin before the first is sent.

    Attributes:
        parent: the run that they belong to.
        size: how many there are.
        calls: those that have begun, in the order in which they are sent.
        in_order: whether each is sent when the one before it is answered; otherwise all at once.
    """

    __slots__ = ("calls", "in_order", "parent", "size")

    def __init__(self, parent: UUID | None, size: int, *, in_order: bool) -> None:
        self.parent = parent
        self.size = size
        self.in_order = in_order
        self.calls: list[LiveCall] = []

    def give_back(self) -> None:
        """Release what has begun: another prompt was refused, so that none is sent."""
        for call in self.calls:
            call.opened.release()


class LiveCall:
    """A call under way.

    Attributes:
        opened: its hold.
        parent: the run that it belongs to.
        streamed: what has arrived of its answer.
        by_token: whether `on_llm_new_token` tells of its chunks.
        by_event: whether `on_stream_event` does.
        said: the usage that the last event of a stream reported, in LangChain's form.
        batch: the prompts that it is one of; `None` for a single one.
    """

    __slots__ = (
        "_unwatch",
        "batch",
        "by_event",
        "by_token",
        "opened",
        "parent",
        "said",
        "streamed",
    )

    def __init__(self, opened: "OpenCall", parent: UUID | None, batch: Batch | None) -> None:
        self.opened = opened
        self.parent = parent
        self.batch = batch
        self.streamed: Streamed = opened.streamed()
        self.by_token = self.by_event = False
        self.said: Any = None
        self._unwatch: Callable[[], object] | None = None

    @property
    def received_bytes(self) -> int:
        """The UTF-8 bytes of the answer received so far."""
        return self.streamed.received_bytes

    def watch(self, task: "asyncio.Task[Any]", cut_off: Callable[[], None]) -> None:
        """Have *cut_off* called when *task* ends while the call is under way.

        LangChain reports no end of an `ainvoke` that is cancelled. A stream may be read by several
        tasks, of which the first ends well, and reports its own end.
        """

        def ended(ended_task: "asyncio.Task[Any]") -> None:
            is_stream = self.by_event or (self.by_token and not ended_task.cancelled())
            if not is_stream:
                cut_off()

        task.add_done_callback(ended)
        self._unwatch = lambda: task.remove_done_callback(ended)

    def unwatch(self) -> None:
        """Stop watching the task: the call has ended."""
        if self._unwatch is not None:
            self._unwatch()


class LiveCalls:
    """What one handler has under way. Safe to use from several threads.

    Args:
        cut_off: ends a call that LangChain will not report the end of.
    """

    def __init__(self, cut_off: Callable[[LiveCall], None]) -> None:
        self._cut_off = cut_off
        self._calls: dict[UUID, LiveCall] = {}
        self._beginning: dict[Owner, Batch] = {}
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()

    def batch(self, parent: UUID | None, size: object) -> Batch | None:
        """Return the batch whose prompts begin in this thread or task; `None` for a single one."""
        if not isinstance(size, int) or size < 2:  # noqa: PLR2004 - one is no batch
            return None
        from llmcost_plugins.guard import current_owner

        owner = current_owner()
        with self._lock:
            batch = self._beginning.get(owner)
            if batch is None or (batch.parent, batch.size) != (parent, size):
                batch = self._beginning[owner] = Batch(parent, size, in_order=owner[1] == 0)
            if len(batch.calls) == size - 1:
                del self._beginning[owner]
        return batch

    def refuse(self, batch: Batch | None) -> None:
        """Forget the prompts of a batch that is not sent, and give their money back."""
        if batch is None:
            return
        batch.give_back()
        with self._lock:
            self._beginning = {o: b for o, b in self._beginning.items() if b is not batch}
            self._calls = {r: c for r, c in self._calls.items() if c.batch is not batch}

    def add(
        self, run_id: UUID, opened: "OpenCall", parent: UUID | None, batch: Batch | None
    ) -> LiveCall:
        """Note that a call has begun."""
        call = LiveCall(opened, parent, batch)
        if batch is not None:
            batch.calls.append(call)
        with self._lock:
            if len(self._calls) >= _KEPT:
                self._forget_ended()
            self._calls[run_id] = call
        task = running_task()
        if task is not None:
            call.watch(task, lambda: self._end(run_id))
        return call

    def get(self, run_id: UUID) -> LiveCall | None:
        """Return a call under way."""
        return self._calls.get(run_id)

    def take(self, run_id: UUID) -> LiveCall | None:
        """Return a call that ends now, once."""
        with self._lock:
            call = self._calls.pop(run_id, None)
        if call is not None:
            call.unwatch()
        return call

    def end_children(self, parent: UUID) -> None:
        """End the calls of a run that was cancelled: LangChain does not report all of them."""
        with self._lock:
            children = [run_id for run_id, call in self._calls.items() if call.parent == parent]
        for run_id in children:
            self._end(run_id)

    def take_batch(self, failed: LiveCall) -> tuple[list[LiveCall], list[LiveCall]]:
        """Return which prompts of a failed call's batch were answered before, and which not sent.

        LangChain reports the end of neither. Prompts that are sent at once have ends of their own.
        """
        batch = failed.batch
        if batch is None or not batch.in_order or failed not in batch.calls:
            return [], []
        with self._lock:
            live = {id(call) for call in self._calls.values()}
            self._calls = {r: c for r, c in self._calls.items() if c.batch is not batch}
        at = batch.calls.index(failed)
        before, after = batch.calls[:at], batch.calls[at + 1 :]
        return [c for c in before if id(c) in live], [c for c in after if id(c) in live]

    def _end(self, run_id: UUID) -> None:
        call = self.take(run_id)
        if call is not None:
            self._cut_off(call)

    def _forget_ended(self) -> None:
        """Drop the calls whose end this handler was never told of."""
        self._calls = {r: call for r, call in self._calls.items() if not call.opened.ended}

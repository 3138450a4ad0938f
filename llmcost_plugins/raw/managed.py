"""Calls that are made by entering a block: stream helpers, and answers read bit by bit."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from llmcost_plugins.raw.answers import is_unread
from llmcost_plugins.raw.recording import Recording
from llmcost_plugins.raw.requests import Api
from llmcost_plugins.raw.sending import Line, Plan
from llmcost_plugins.raw.watching import Watch, is_stream, watched

Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]


class ManagedCall:
    """Stands for what ``messages.stream(...)`` returns: entering it holds, sends, and streams.

    Args:
        line: where the call goes.
        method: what makes the block.
        api: what is called.
        arguments: of *method*.
        streams: whether it is a stream whatever the arguments say.
    """

    def __init__(
        self,
        line: Line,
        method: Callable[..., Any],
        api: Api,
        arguments: Arguments,
        *,
        streams: bool,
    ) -> None:
        args, kwargs = arguments
        self._line = line
        self._method = method
        self._api = api
        self._args = args
        self._kwargs = kwargs
        self._planned = {**kwargs, "stream": True} if streams else kwargs
        self._block: Any = None
        self._recording: Recording | None = None
        self._watch: Watch | None = None
        self._unread: Any = None

    def __enter__(self) -> Any:
        plan, recording = self._line.begin(self._method, self._api, self._args, self._planned)
        try:
            self._block = self._method(*self._args, **{**self._kwargs, **plan.changes})
            entered = self._block.__enter__()
        except BaseException as error:
            recording.failed(error)
            raise
        return self._entered(plan, recording, entered)

    async def __aenter__(self) -> Any:
        plan, recording = await self._line.abegin(
            self._method, self._api, self._args, self._planned
        )
        try:
            self._block = self._method(*self._args, **{**self._kwargs, **plan.changes})
            entered = await self._block.__aenter__()
        except BaseException as error:
            recording.failed(error)
            raise
        if is_unread(entered) and self._planned.get("stream"):
            parsed = entered.parse()
            self._see(plan, recording, await parsed if inspect.isawaitable(parsed) else parsed)
            return entered
        return self._entered(plan, recording, entered)

    def __exit__(self, *error: object) -> Any:
        self._read_rest()
        try:
            return self._block.__exit__(*error)
        finally:
            self._left()

    async def __aexit__(self, *error: object) -> Any:
        self._read_rest()
        if inspect.isawaitable(self._unread):
            try:
                self._unread = await self._unread
            except Exception:  # noqa: BLE001 - the caller has read it in another way
                self._unread = None
        try:
            return await self._block.__aexit__(*error)
        finally:
            self._left()

    def _entered(self, plan: Plan, recording: Recording, entered: Any) -> Any:
        if is_stream(entered):
            return self._see(plan, recording, entered)
        if is_unread(entered) and self._planned.get("stream"):
            self._see(plan, recording, entered.parse())
        else:
            self._recording, self._unread = recording, entered
        return entered

    def _see(self, plan: Plan, recording: Recording, stream: Any) -> Any:
        self._watch = Watch(recording, hides_usage=plan.hides_usage)
        return watched(stream, self._watch)

    def _read_rest(self) -> None:
        """Parse an answer that the caller was free to read in any way, while that is possible."""
        if is_unread(self._unread):
            try:
                self._unread = self._unread.parse()
            except Exception:  # noqa: BLE001 - the caller has read it in another way
                self._unread = None

    def _left(self) -> None:
        if self._watch is not None:
            self._watch.left()
        elif self._recording is not None:
            self._recording.answered(self._unread)

    @classmethod
    def of(
        cls, line: Line, method: Callable[..., Any], api: Api, *, streams: bool
    ) -> Callable[..., "ManagedCall"]:
        """Return what to call instead of *method*."""

        def make(*args: Any, **kwargs: Any) -> ManagedCall:
            return cls(line, method, api, (args, kwargs), streams=streams)

        return make

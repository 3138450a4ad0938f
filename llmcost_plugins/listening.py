"""Tells of each request that a client sends, so that it is held for before and settled after."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from llmcost_plugins.calls import OpenCall
from llmcost_plugins.taps import Replace, named_arguments

T = TypeVar("T")


class Listener(Protocol):
    """Who is told of each request of a client."""

    def open(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Hold for a request; what is raised stops it."""

    async def aopen(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Do what `open` does, and wait by awaiting."""

    def close(self, opened: OpenCall, answer: object, arguments: Mapping[str, Any]) -> None:
        """Settle an answered request. Never raises."""

    def fail(self, opened: OpenCall, error: BaseException) -> None:
        """Settle a request that failed or was broken off. Never raises."""


def listened(listener: Listener) -> Replace:
    """Return how to replace a method by one that tells *listener* of each request."""

    def replace(method: Callable[..., Any], _path: str) -> Callable[..., Any]:
        return (_awaited if inspect.iscoroutinefunction(method) else _called)(method, listener)

    return replace


def _called(method: Callable[..., Any], listener: Listener) -> Callable[..., Any]:
    def send(*args: Any, **kwargs: Any) -> Any:
        arguments = named_arguments(method, args, kwargs)
        opened = listener.open(arguments)
        try:
            answer = method(*args, **kwargs)
        except BaseException as error:
            listener.fail(opened, error)
            raise
        if inspect.isawaitable(answer):  # an asynchronous method behind a plain wrapper
            return _finished(listener, opened, answer, arguments)
        listener.close(opened, answer, arguments)
        return answer

    return send


def _awaited(
    method: Callable[..., Awaitable[Any]], listener: Listener
) -> Callable[..., Awaitable[Any]]:
    async def send(*args: Any, **kwargs: Any) -> Any:
        arguments = named_arguments(method, args, kwargs)
        opened = await listener.aopen(arguments)
        return await _finished(listener, opened, method(*args, **kwargs), arguments)

    return send


async def _finished(
    listener: Listener, opened: OpenCall, answering: Awaitable[T], arguments: Mapping[str, Any]
) -> T:
    try:
        answer = await answering
    except BaseException as error:
        listener.fail(opened, error)
        raise
    listener.close(opened, answer, arguments)
    return answer

"""Event streams of version 3, fed by the events of a router."""

import asyncio
from collections.abc import AsyncGenerator, Generator

from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream

from llmcost_langchain._ladder import Event


def pulled(events: Generator[Event]) -> ChatModelStream:
    """Return a stream that takes its events one by one, when its reader asks for more."""
    stream = ChatModelStream()

    def pump() -> bool:
        try:
            event = next(events, None)
        except BaseException as error:  # noqa: BLE001 - the stream raises it where it is read
            stream.fail(error)
            return False
        if event is not None:
            stream.dispatch(event)
        return event is not None

    stream.bind_pump(pump)
    return stream


def pushed(events: AsyncGenerator[Event]) -> AsyncChatModelStream:
    """Return a stream whose events are taken by a task of its own, from its first reader on.

    `AsyncChatModelStream.aclose` cancels that task. LangChain gives it to the stream in the same
    way; there is no public one.
    """
    stream = AsyncChatModelStream()

    async def produce() -> None:
        try:
            async for event in events:
                stream.dispatch(event)
        except asyncio.CancelledError as error:
            stream.fail(error)
            raise
        except BaseException as error:  # noqa: BLE001 - the stream raises it where it is read
            stream.fail(error)

    async def start() -> None:
        if stream._producer_task is None:  # noqa: SLF001 - see above
            stream._producer_task = asyncio.create_task(produce())  # noqa: SLF001 - see above

    stream.set_start(start)
    return stream

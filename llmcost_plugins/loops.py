"""Whether code runs on an event loop, and in which task."""

import asyncio
from typing import Any


def on_event_loop() -> bool:
    """Tell whether an event loop runs in this thread, which waiting would stop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def running_task() -> "asyncio.Task[Any] | None":
    """Return the task that runs in this thread; `None` outside of an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None

"""The tracker of the process, for those who are given none."""

import threading
from typing import Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.tracker.cost_tracker import CostTracker

_default_lock: Final = threading.Lock()
_default: Final[list[CostTracker]] = []


def default_tracker() -> CostTracker:
    """Return the process-wide tracker, built from the environment at the first call.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    with _default_lock:
        if not _default:
            _default.append(CostTracker.from_env())
        return _default[0]


def set_default_tracker(tracker: CostTracker | None) -> CostTracker | None:
    """Replace the process-wide tracker and return the former one.

    `None` makes the next use read the environment anew.

    Raises:
        ConfigurationError: it is no tracker.
    """
    given: object = tracker  # what the types say, not everybody reads
    if given is not None and not isinstance(given, CostTracker):
        msg = f"{given!r} is no CostTracker; e.g. set_default_tracker(CostTracker.from_env())"
        raise ConfigurationError(msg)
    with _default_lock:
        former = _default[0] if _default else None
        _default[:] = [] if tracker is None else [tracker]
        return former

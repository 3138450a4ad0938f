"""What users hand over as a tracker, looked at before the first call would fail on it."""

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.tracker import CostTracker


def tracker_given(tracker: object, example: str) -> CostTracker | None:
    """Return the tracker that a user has passed, or `None`.

    Args:
        tracker: what was passed.
        example: how to write what was probably meant: a label, where a tracker stands first.

    Raises:
        ConfigurationError: it is no tracker.
    """
    if tracker is None or isinstance(tracker, CostTracker):
        return tracker
    msg = (
        f"tracker={tracker!r} is no CostTracker; write {example}, or leave the tracker out for the "
        "one that the environment variables set up"
    )
    raise ConfigurationError(msg)

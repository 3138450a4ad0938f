"""The default clock: what knows the time where no other clock is given."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current instant."""
    return datetime.now(UTC)  # noqa: TID251 - the default clock

"""Which dialect serves which path."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

from llmcost_plugins.testing.dialects.base import Dialect

_MODEL = re.escape("{model}")


class Route(NamedTuple):
    """A dialect, and the model if the path names it."""

    dialect: Dialect
    model: str | None


class Routes:
    """The dialects by their path."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._routes = [
            (re.compile(re.escape(dialect.path).replace(_MODEL, "(?P<model>[^/]+)")), dialect)
            for dialect in dialects
        ]

    def find(self, path: str) -> Route | None:
        """Return the dialect that serves a path as it was sent, None if none does."""
        for pattern, dialect in self._routes:
            if match := pattern.fullmatch(path):
                model = match.groupdict().get("model")
                return Route(dialect, None if model is None else unquote(model))
        return None

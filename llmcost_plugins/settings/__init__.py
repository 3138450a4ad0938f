"""The settings, read from the environment: the only package that looks at it."""

from typing import TYPE_CHECKING

from llmcost_plugins.lazy import lazy_names

if TYPE_CHECKING:
    from llmcost_plugins.settings.model import Settings

__all__ = ["Settings"]

# pydantic-settings takes longer to import than all of the rest, and `switch` does without it.
__getattr__ = lazy_names(__name__, {"Settings": "model"})

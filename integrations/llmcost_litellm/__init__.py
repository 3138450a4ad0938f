"""Cost control for those who call LiteLLM's functions themselves.

`CostGate` holds before a call and settles it; `CostLogger` only records, in `litellm.callbacks`.
Importing this loads nothing of LiteLLM, which takes seconds and asks the network for prices.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from llmcost_plugins.lazy import lazy_names

if find_spec("litellm") is None:
    from llmcost_plugins.errors import MissingExtra

    raise MissingExtra.of("litellm", "litellm")  # noqa: EM101 - two names, no message

if TYPE_CHECKING:
    from llmcost_litellm.gate import CostGate
    from llmcost_litellm.logger import CostLogger

__all__ = ["CostGate", "CostLogger"]

__getattr__ = lazy_names(__name__, {"CostGate": "gate", "CostLogger": "logger"})


def __dir__() -> list[str]:
    return sorted(__all__)

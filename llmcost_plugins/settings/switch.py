"""Whether a framework's every call is to be recorded; asked at each of its runs, so kept light."""

import os
from typing import Final

from llmcost_plugins.errors import ConfigurationError

VARIABLE: Final = "LLMCOST_ENABLED"
_ON: Final = frozenset({"1", "true", "yes", "on"})
_OFF: Final = frozenset({"", "0", "false", "no", "off"})


def is_enabled() -> bool:
    """Tell whether ``LLMCOST_ENABLED`` is on.

    Raises:
        ConfigurationError: it is neither on nor off.
    """
    value = os.environ.get(VARIABLE)
    if value is None:
        return False
    word = value.strip().lower()
    if word in _OFF:
        return False
    if word in _ON:
        return True
    msg = f"{VARIABLE}={value!r} is neither on (1, true, yes, on) nor off (0, false, no, off)"
    raise ConfigurationError(msg)

"""Reading TOML files that a user has written."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from llmcost_plugins.errors import ConfigurationError


def read_toml(path: Path, name: str) -> dict[str, Any]:
    """Return what a file says; numbers with a point are `Decimal`.

    Args:
        path: the file.
        name: what it is called in errors.

    Raises:
        ConfigurationError: it cannot be read, or is no TOML.
    """
    try:
        # With the mark that some editors of Windows begin a file with.
        return tomllib.loads(path.read_text("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        msg = f"{name} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None
    except (ValueError, RecursionError) as error:
        msg = f"{name} is no TOML file: {error}"
        raise ConfigurationError(msg) from None

"""The statements in the package's SQL files, by name, and how one writes with them."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

from llmcost_plugins.ledger.database import load_sql

Writing = Callable[[], AbstractContextManager[sqlite3.Connection]]
"""Opens a transaction that no other writer can interleave with."""


def named_sql(file: str) -> dict[str, str]:
    """Return the statements of a file in which each follows a line ``-- name: ...``."""
    statements = {}
    for chunk in load_sql(file).split("-- name: ")[1:]:
        name, _, text = chunk.partition("\n")
        # Without its final semicolon, so that one statement is one execute.
        statements[name.strip()] = re.sub(r";\s*$", "", text)
    return statements

"""Who holds money, for people who look at a ledger of several processes."""

import os
import socket
from functools import lru_cache


def process_name() -> str:
    """Name this host and process."""
    return _name_of(os.getpid())


@lru_cache(maxsize=1)  # by the number of the process: a fork has another name
def _name_of(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"

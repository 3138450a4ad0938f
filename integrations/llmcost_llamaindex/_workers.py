"""How a guarded model goes on being recorded in a worker process.

``IngestionPipeline.run(num_workers=…)`` pickles its steps into new processes, where no handler is
installed. A gate takes along what it needs to install there; LlamaIndex gives the dispatcher no
other way in.
"""

import os
import pickle  # noqa: TID251 - nothing is loaded: LlamaIndex pickles models for its workers
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, current_labels
from llmcost_plugins.transfer import Transfer


class Kit(NamedTuple):
    """What an installation in another process is made of.

    Attributes:
        transfer: what the tracker is made of; else why it cannot be made again.
        labels: those of the installation, under those in force where the pipeline was run.
        tags: likewise.
    """

    transfer: Transfer | str
    labels: Mapping[str, str]
    tags: tuple[str, ...]


def packed(labels: Labels) -> Kit | None:
    """Return what is installed here; `None` if nothing is.

    Args:
        labels: those in force where the pipeline was run: a pool pickles in a thread of its own,
            which knows of no `attribute` block.
    """
    from llmcost_llamaindex.handler import installation  # it uses the gates

    found = installation()
    if found is None:
        return None
    tracker, defaults = found
    merged = defaults.merged(labels).merged(current_labels())
    transfer: Transfer | str
    try:
        transfer = Transfer.of(tracker)
    except ConfigurationError as error:  # for who calls the model there: a pickle may be for a file
        transfer = f"this model was sent to another process: {error}"
    return Kit(transfer, dict(merged.values), merged.tags)


def unpacked(kit: Kit | None, pid: int) -> str:
    """Install in this process what was installed in another; return why it cannot be done."""
    from llmcost_llamaindex.handler import install, installation  # it uses the gates

    if kit is None or pid == os.getpid() or installation() is not None:
        return ""
    if isinstance(kit.transfer, str):
        return kit.transfer
    install(kit.transfer.tracker(), tags=kit.tags, **kit.labels)
    return ""


def picklable(thing: Any) -> Any:
    """Return it, or `None` if it cannot be sent: most rate limiters hold a lock."""
    try:
        pickle.dumps(thing)
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be sent
        return None
    return thing

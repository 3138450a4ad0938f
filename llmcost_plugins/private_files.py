"""Files that hold what is nobody else's business: whole or not at all, and for their owner only."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_privately(path: Path, content: bytes) -> None:
    """Write a file of mode 0600; whoever reads it meanwhile sees the former one, whole.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    # Beside it, so that it can be renamed; mkstemp makes it for its owner only.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise

"""Files that hold what is nobody else's business: whole or not at all, and for their owner only."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def append_privately(path: Path, line: bytes, *, durable: bool) -> int:
    """Add a line to a file of mode 0600 in a folder of 0700; return the size of the file.

    Args:
        path: the file; it and its folder are made where they are not there.
        line: the line, with its end.
        durable: whether to wait until the disk has it.

    Raises:
        OSError: it cannot be written whole.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        # One write, so that a process that is killed leaves whole lines or one cut at the end.
        if os.write(descriptor, line) < len(line):
            msg = f"no room for a line in {path}"
            raise OSError(msg)
        if durable:
            os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


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

"""Standard output as it may be: of any encoding, without a reader, on a full disk."""

import codecs
import io
import json
import os
import sys
from contextlib import suppress
from typing import Final

_NAME: Final = "llmcost"
_LIKE: Final = str.maketrans("█░▁▂▃▄▅▆▇→…", "#.__--==#>~")
"""What bars and lines are drawn of where there are no blocks."""


def accept_all_text() -> None:
    """Let what the encoding of standard output lacks be written in other letters, not fail.

    As JSON escapes them, so that JSON stays what it is.
    """
    codecs.register_error(_NAME, _in_other_letters)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_NAME)


def write_as_utf8(text: str) -> None:
    """Write to standard output what says of itself that it is UTF-8, whatever a terminal speaks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    if sys.stdout is not None:
        sys.stdout.write(text)


def flush() -> None:
    """Write what waits, while there is somebody to tell that it cannot be written.

    Raises:
        OSError: it cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def give_up() -> None:
    """Leave out all that is still to be written, which the interpreter would try at its end."""
    with suppress(OSError, ValueError, AttributeError):  # it may be no file, or closed
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, sys.stdout.fileno())
        finally:
            os.close(nothing)


def _in_other_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_LIKE)
    return json.dumps(text)[1:-1], error.end

"""Counting tokens with a model's own tokenizer, where its data lie on this machine already.

tiktoken fetches the data of an encoding from the network when it is first used. litellm and
llama-index-core bring those of OpenAI's encodings along; only these files are read here, found
without importing either package, and nothing is ever fetched.
"""

import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

_FOLDERS: Final = (
    ("litellm", "litellm_core_utils/tokenizers"),
    ("llama_index", "core/_static/tiktoken_cache"),
)
# Encoding to the name that tiktoken gives its file (the SHA-1 of its address) and the SHA-256 that
# it must have: tiktoken deletes a file with another one and fetches it anew.
_FILES: Final = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}
USUAL: Final = "o200k_base"
"""The encoding that other models' tokens are estimated from, times a factor that is learned."""
_CACHE_DIR: Final = "TIKTOKEN_CACHE_DIR"


class Tokenizer(NamedTuple):
    """Counts the tokens of a text.

    Attributes:
        name: the encoding, e.g. ``o200k_base``.
        count: text to tokens; special tokens in it are counted as plain text.
    """

    name: str
    count: Callable[[str], int]


_lock = threading.Lock()
_loaded: dict[str, Tokenizer | None] = {}


def own_encoding(model: str) -> str | None:
    """Return the encoding that *model* is known to use; `None` for any but OpenAI's models."""
    try:
        from tiktoken.model import encoding_name_for_model

        name = encoding_name_for_model(model.rpartition("/")[2])
    except (ImportError, KeyError):
        return None
    return name if name in _FILES else None


def local_tokenizer(encoding: str) -> Tokenizer | None:
    """Return the tokenizer of an encoding, loaded once; `None` when tiktoken or its data lack.

    Loading takes about 0.3 s and 80 MB for ``o200k_base``.
    """
    with _lock:
        if encoding not in _loaded:
            _loaded[encoding] = _load(encoding)
        return _loaded[encoding]


def _load(encoding: str) -> Tokenizer | None:
    folder = _folder_of(encoding)
    if folder is None or importlib.util.find_spec("tiktoken") is None:
        return None
    import tiktoken

    with _reading_from(folder):
        found = tiktoken.get_encoding(encoding)
    return Tokenizer(encoding, lambda text: len(found.encode_ordinary(text)))


def _folder_of(encoding: str) -> Path | None:
    name, digest = _FILES[encoding]
    for package, inside in _FOLDERS:
        for place in _places(package):
            file = place / inside / name
            if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest:
                return file.parent
    return None


def _places(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


@contextmanager
def _reading_from(folder: Path) -> Iterator[None]:
    """Let tiktoken look for its data in *folder*; it takes the place from the environment only."""
    environment = os.environ  # noqa: TID251 - see the docstring; put back at once
    former = environment.get(_CACHE_DIR)
    environment[_CACHE_DIR] = str(folder)
    try:
        yield
    finally:
        if former is None:
            del environment[_CACHE_DIR]
        else:
            environment[_CACHE_DIR] = former

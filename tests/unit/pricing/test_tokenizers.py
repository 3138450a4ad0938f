import hashlib
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from llmcost_plugins.pricing import tokenizers
from llmcost_plugins.pricing.tokenizers import local_tokenizer, own_encoding

needs_data = pytest.mark.skipif(
    find_spec("tiktoken") is None or find_spec("llama_index") is None,
    reason="tiktoken or the package that brings its data is not installed",
)


@needs_data
@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("openai/gpt-4.1-mini", "o200k_base"),
        ("ft:gpt-4o-2024-08-06:org::x", "o200k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("text-davinci-003", None),  # its data are not at hand
        ("claude-sonnet-4-5", None),
        ("gpt-99", None),
        ("", None),
    ],
)
def test_the_encoding_of_openais_models_is_known(model: str, encoding: str | None) -> None:
    assert own_encoding(model) == encoding


@needs_data
@pytest.mark.parametrize(
    ("text", "tokens"),
    [("hello world", 2), ("<|endoftext|>", 7), ("漢字", 2), ("", 0), ("a" * 1000, 125)],
)
def test_tokens_are_counted_without_any_network(text: str, tokens: int) -> None:
    found = local_tokenizer("o200k_base")
    assert found is not None
    assert found.name == "o200k_base"
    assert found.count(text) == tokens
    assert local_tokenizer("o200k_base") is found


@needs_data
def test_loading_leaves_the_environment_as_it_was_and_imports_no_litellm() -> None:
    script = """
import os, sys
before = dict(os.environ)
from llmcost_plugins.pricing.tokenizers import local_tokenizer
assert local_tokenizer("cl100k_base").count("hello world") == 2
assert dict(os.environ) == before, "the environment has changed"
assert "litellm" not in sys.modules
assert "llama_index.core" not in sys.modules
"""
    for kept in ({}, {"TIKTOKEN_CACHE_DIR": "/nonexistent"}):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **kept},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@needs_data
def test_data_that_are_not_what_they_should_be_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = tokenizers._FILES["o200k_base"]
    planted = tmp_path / "pkg" / "data" / name
    planted.parent.mkdir(parents=True)
    planted.write_bytes(b"IQ== 0\n")
    (tmp_path / "pkg" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(tokenizers, "_FOLDERS", (("pkg", "data"), ("not_installed", "data")))
    monkeypatch.setattr(tokenizers, "_loaded", {})
    assert local_tokenizer("o200k_base") is None
    assert planted.read_bytes() == b"IQ== 0\n"
    digest = hashlib.sha256(planted.read_bytes()).hexdigest()
    monkeypatch.setattr(tokenizers, "_FILES", {"o200k_base": (name, digest)})
    assert tokenizers._folder_of("o200k_base") == planted.parent


def test_a_package_that_cannot_be_looked_up_has_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = type(sys)("stub_without_spec")
    stub.__spec__ = None
    monkeypatch.setitem(sys.modules, "stub_without_spec", stub)
    monkeypatch.setattr(tokenizers, "_FOLDERS", (("stub_without_spec", "data"),))
    assert tokenizers._folder_of("o200k_base") is None

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.settings.switch import is_enabled


@pytest.mark.parametrize("word", ["1", "true", "True", "YES", "on", " on "])
def test_these_words_mean_on(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", word)
    assert is_enabled()


@pytest.mark.parametrize("word", ["", "0", "false", "False", "NO", "off", None])
def test_these_words_mean_off(word: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMCOST_ENABLED", raising=False)
    if word is not None:
        monkeypatch.setenv("LLMCOST_ENABLED", word)
    assert not is_enabled()


def test_any_other_word_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", "maybe")
    with pytest.raises(ConfigurationError, match="LLMCOST_ENABLED='maybe' is neither on"):
        is_enabled()

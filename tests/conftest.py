"""What holds in every test: nothing of the developer's environment, files or network leaks in."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Set before the first import of a framework: each reads its switch once.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the oracle reads its own copy, not the web's
os.environ["LANGSMITH_TRACING"] = "false"
os.environ["LANGCHAIN_TRACING_V2"] = "false"
os.environ["OPENAI_API_KEY"] = "sk-test"  # clients ask for one even when nothing is sent to OpenAI
for _name in [name for name in os.environ if name.startswith("LLMCOST_")]:
    del os.environ[_name]

# The machine that runs the tests may be busy: only the test's own timeout limits an example. A
# failure is found again by its seed, so no database of examples is kept.
settings.register_profile("llmcost", deadline=None, database=None)
settings.load_profile("llmcost")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long form of the tests")


@pytest.fixture(autouse=True)
def _own_defaults() -> Iterator[None]:
    """Let no test find the tracker or the cache of the process that another one has left."""
    yield
    # Not imported here: most tests need neither.
    if (tracker := sys.modules.get("llmcost_plugins.tracker")) is not None:
        left = tracker.set_default_tracker(None)
        if left is not None:
            left.close()
    if (shared := sys.modules.get("llmcost_plugins.cache.shared")) is not None:
        shared.forget_shared_cache()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a home of its own, so that default paths never name the developer's ledger."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(name, str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home

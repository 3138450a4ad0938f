import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import llmcost_plugins

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_public_name_is_there_and_there_are_few() -> None:
    for name in llmcost_plugins.__all__:
        assert getattr(llmcost_plugins, name).__name__ == name
    assert len(llmcost_plugins.__all__) <= 20
    assert sorted(llmcost_plugins.__all__) == sorted(set(llmcost_plugins.__all__))


def test_every_public_name_is_documented() -> None:
    assert [n for n in llmcost_plugins.__all__ if not getattr(llmcost_plugins, n).__doc__] == []


@pytest.mark.parametrize(
    "package", ["llmcost_plugins", "llmcost_langchain", "llmcost_llamaindex", "llmcost_litellm"]
)
def test_every_public_name_is_on_the_page_of_names(package: str) -> None:
    pytest.importorskip(package, exc_type=ImportError)
    written = re.sub(r"[^\w]+", " ", PAGE.read_text("utf-8")).split()
    assert set(sys.modules[package].__all__) <= {*written}


def test_dir_lists_the_public_names() -> None:
    assert set(dir(llmcost_plugins)) == {*llmcost_plugins.__all__, "__version__"}


def test_the_version_is_that_of_the_distribution() -> None:
    try:
        installed = version("llmcost-plugins")
    except PackageNotFoundError:
        pytest.skip("runs from a source tree that is not installed")
    assert llmcost_plugins.__version__ == installed


def test_a_name_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'CostTraker'"):
        llmcost_plugins.CostTraker  # noqa: B018 - the look-up is what is tested


def test_a_name_is_loaded_when_it_is_first_used() -> None:
    script = (
        "import sys, llmcost_plugins; before = set(sys.modules); llmcost_plugins.Budget; "
        "new = {m for m in set(sys.modules) - before if m.startswith('llmcost_plugins')}; "
        "assert 'llmcost_plugins.budgets' in new, new; "
        "assert not {'llmcost_plugins.tracker', 'llmcost_plugins.cache'} & new, new; "
        "assert 'Budget' in vars(llmcost_plugins)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

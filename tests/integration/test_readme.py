"""The code blocks of README and the docs run as they stand, against the simulated provider."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def blocks_of(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)


BLOCKS = blocks_of(README)
IN_DOCS = [block for path in sorted((ROOT / "docs").glob("*.md")) for block in blocks_of(path)]
SERVED = """
import os, sys
from llmcost_plugins.testing import SimulatedProvider

with SimulatedProvider() as provider:
    os.environ["OPENAI_BASE_URL"] = os.environ["OPENAI_API_BASE"] = provider.base_url
    exec(compile(open(sys.argv[1], encoding="utf-8").read(), "README.md", "exec"))
    print("billed:", provider.billed_usd)
"""


def test_readme_has_an_example_for_each_framework_blocks_agents_the_cache_and_the_test_kit() -> (
    None
):
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("block", [*BLOCKS, *IN_DOCS])
def test_the_block_runs(block: str, tmp_path: Path) -> None:
    if "llmcost_litellm" in block:
        pytest.importorskip("litellm")
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SERVED, str(script)],
        env={
            **os.environ,
            "OPENAI_API_KEY": "none",
            "LLMCOST_LEDGER": f"sqlite:///{tmp_path}/ledger.db",
            "LLMCOST_CACHE_DIR": str(tmp_path / "cache"),
        },
        cwd=tmp_path,  # a block may write a file
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if block == BLOCKS[0]:
        cost, billed = re.findall(r"(?:cost|billed): ([0-9.]+)", done.stdout)
        assert float(cost) > 0
        assert cost == billed.rstrip("0")


def test_each_setting_is_in_the_table_with_its_variable() -> None:
    from llmcost_plugins import Settings

    text = README.read_text("utf-8").replace("`_", "`LLMCOST_CACHE_")
    missing = [name for name in Settings.model_fields if f"`LLMCOST_{name.upper()}`" not in text]
    assert missing == []

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


def test_readme_has_an_example_for_each_framework_and_for_a_budget_of_a_block() -> None:
    assert len(BLOCKS) >= 3


# The first lines of the docs are those of README.
@pytest.mark.parametrize("block", dict.fromkeys([*BLOCKS, *IN_DOCS]))
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
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if block in BLOCKS and " USD" in block:
        cost, billed = re.findall(r"([0-9.]+) USD|billed: ([0-9.]+)", done.stdout)
        assert float(cost[0]) > 0
        assert cost[0] == billed[1].rstrip("0")

"""The code blocks of README and the docs run as they stand, against the simulated provider."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def blocks_of(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)


BLOCKS = blocks_of(README)
IN_DOCS = [block for path in sorted((ROOT / "docs").glob("*.md")) for block in blocks_of(path)]
# Each block has a process of its own, forked from one that has imported the frameworks: that takes
# seconds, and the blocks milliseconds.
RUNNER = """
import json, os, signal, sys
import langchain.agents, langchain_openai, llama_index.core, llama_index.llms.openai
from llmcost_plugins.testing import SimulatedProvider

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        signal.alarm(100)
        file = os.open(job["output"], os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1), os.dup2(file, 2)
        os.environ.update(job["environment"])
        os.chdir(job["folder"])  # a block may write a file
        with SimulatedProvider() as provider:
            os.environ["OPENAI_BASE_URL"] = os.environ["OPENAI_API_BASE"] = provider.base_url
            exec(compile(job["block"], "README.md", "exec"))
            print("billed:", provider.billed_usd)
        sys.exit()
    print(os.waitpid(child, 0)[1], flush=True)
"""
Run = Callable[[str], str]


@pytest.fixture(scope="module")
def runner() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUNNER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.communicate()


@pytest.fixture
def run(runner: subprocess.Popen[str], tmp_path: Path) -> Run:
    def run(block: str) -> str:
        """Run a block; return what it printed, and what it was billed."""
        output = tmp_path / "output"
        environment = {
            "OPENAI_API_KEY": "none",
            "LLMCOST_LEDGER": f"sqlite:///{tmp_path}/ledger.db",
            "LLMCOST_CACHE_DIR": str(tmp_path / "cache"),
        }
        job = {
            "block": block,
            "output": str(output),
            "folder": str(tmp_path),
            "environment": environment,
        }
        assert runner.stdin is not None
        assert runner.stdout is not None
        runner.stdin.write(json.dumps(job) + "\n")
        runner.stdin.flush()
        status = runner.stdout.readline().strip()
        said = output.read_text("utf-8") if output.exists() else ""
        assert status == "0", said
        return said

    return run


def test_readme_has_an_example_for_each_framework_and_for_a_budget_of_a_block() -> None:
    assert len(BLOCKS) >= 3


# The first lines of the docs are those of README.
@pytest.mark.parametrize("block", dict.fromkeys([*BLOCKS, *IN_DOCS]))
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the blocks run in forked processes")
def test_the_block_runs(block: str, run: Run) -> None:
    if "llmcost_litellm" in block:
        pytest.importorskip("litellm")
    said = run(block)
    if block in BLOCKS and " USD" in block:
        cost, billed = re.findall(r"([0-9.]+) USD|billed: ([0-9.]+)", said)
        assert float(cost[0]) > 0
        assert cost[0] == billed[1].rstrip("0")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the blocks run in forked processes")
def test_a_block_that_fails_is_noticed(run: Run) -> None:
    with pytest.raises(AssertionError, match="no such thing"):
        run("raise LookupError('no such thing')")

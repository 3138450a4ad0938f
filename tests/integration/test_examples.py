"""Each example runs as it stands, in a process of its own, without a key or a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def test_there_are_examples_of_both_frameworks() -> None:
    assert {path.stem.partition("_")[0] for path in EXAMPLES} >= {"langchain", "llamaindex"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs_says_something_and_leaves_nothing_behind(
    path: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        env={**os.environ, "TMPDIR": str(temporary)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "USD" in done.stdout or "$" in done.stdout
    assert list(temporary.iterdir()) == []

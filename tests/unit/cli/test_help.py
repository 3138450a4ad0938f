import re

import click
import pytest
from click.testing import CliRunner

from llmcost_plugins.cli import cli

CONTEXT = click.Context(cli)
GROUPS = [
    [name]
    for name in cli.list_commands(CONTEXT)
    if isinstance(cli.get_command(CONTEXT, name), click.Group)
]


@pytest.mark.parametrize("path", [[], *GROUPS], ids=" ".join)
def test_the_list_of_commands_says_whole_sentences(path: list[str]) -> None:
    said = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).output
    commands = said.partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands
    assert not re.search(r"e\.g\.(?! ')", " ".join(commands.split()))  # an example follows
    assert max(len(line) for line in commands.splitlines()) <= 80

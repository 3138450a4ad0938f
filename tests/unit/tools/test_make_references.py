"""The references of settings and commands are complete, and made of what the code says today."""

import re
from pathlib import Path

import click
import pytest

from llmcost_plugins import Settings
from llmcost_plugins.cli import cli
from llmcost_plugins.settings.switch import VARIABLE
from tools.make_references import DOCS, main

FIELDS = list(Settings.model_fields)


def sections(page: str) -> dict[str, str]:
    """Return what stands under each heading that is code."""
    text = (DOCS / page).read_text("utf-8")
    return dict(re.findall(r"^##+ `(.+?)`\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE))


def below(command: click.Command, path: str) -> dict[str, click.Command]:
    """Return a command and all below it."""
    found = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            one = command.get_command(context, name)
            assert one is not None
            found |= below(one, f"{path} {name}")
    return found


COMMANDS = below(cli, "llmcost")


def test_the_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, f"{capsys.readouterr().out}: run `make references`"


def test_a_page_that_is_not_is_found_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--folder", str(tmp_path)]) == 0
    assert main(["--folder", str(tmp_path), "--check"]) == 0
    page = tmp_path / "settings.md"
    page.write_text(page.read_text("utf-8").replace("LLMCOST_BUDGETS", "LLMCOST_BUDGET"), "utf-8")
    capsys.readouterr()
    assert main(["--folder", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().out.startswith("settings.md is not up to date")
    assert "LLMCOST_BUDGETS" not in page.read_text("utf-8")
    main(["--folder", str(tmp_path)])
    assert "LLMCOST_BUDGETS" in page.read_text("utf-8")


def test_there_is_a_section_for_each_setting_and_for_nothing_else() -> None:
    assert sorted(sections("settings.md")) == sorted(
        [VARIABLE, *(f"LLMCOST_{name.upper()}" for name in FIELDS)]
    )


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_has_its_meaning_type_default_and_a_good_value(name: str) -> None:
    variable = f"LLMCOST_{name.upper()}"
    said = sections("settings.md")[variable]
    assert re.match(r"\n[A-Z`][^\n]+", said)
    assert re.search(r"^- \*\*Type:\*\* \S", said, re.MULTILINE)
    assert re.search(r"^- \*\*Default:\*\* \S", said, re.MULTILINE)
    example = re.search(rf"^- \*\*Example:\*\* `{variable}=(.+)`$", said, re.MULTILINE)
    assert example is not None
    if name not in {"config", "prices"}:  # those files do not exist
        Settings.from_env(**{name: example[1]})


def test_no_default_names_a_folder_of_this_machine() -> None:
    text = (DOCS / "settings.md").read_text("utf-8")
    assert str(Path.home()) not in text
    assert "`DATA/spool`" in text


def test_there_is_a_section_for_each_command_and_for_nothing_else() -> None:
    assert sorted(sections("cli.md")) == sorted(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_its_meaning_arguments_and_options(path: str) -> None:
    said = sections("cli.md")[path]
    command = COMMANDS[path]
    assert (command.help or "").split()[0] in said
    for each in command.params:
        if isinstance(each, click.Argument):
            assert (each.name or "?").upper() in said
        else:
            assert all(f"`{option}`" in said for option in each.opts)

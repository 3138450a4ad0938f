"""Groups of commands: they say of each what it does, and may import the one that is asked for."""

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

_SENTENCE: Final = re.compile(r"(?<=\.)\s+(?=[A-Z])")  # not after "e.g."


class Group(click.Group):
    """A group that lists its commands with their whole first sentence, on as many lines as needed.

    click's own cuts it where the line ends, and at "e.g.".
    """

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, _SENTENCE.split(inspect.cleandoc(command.help or ""))[0])
            for name, command in found
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class LazyGroup(Group):
    """A group whose commands are each imported when they are first needed.

    Args:
        lazy: for each command the module and the name that it has there, ``module:name``.
        arguments: those of `click.Group`.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing it if need be; `None` if there is none."""
        if cmd_name not in self.commands and cmd_name in self._lazy:
            module, _, name = self._lazy[cmd_name].partition(":")
            self.add_command(getattr(import_module(module), name), cmd_name)
        return super().get_command(ctx, cmd_name)

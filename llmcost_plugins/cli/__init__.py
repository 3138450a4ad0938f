"""The command ``llmcost``.

Data goes to standard output, messages to standard error. Exit status: 0 ok, 1 a finding (the
demo's sums differ, prices differ or are missing, a call would not fit, a budget will run out, the
ledger is not sound, an alert did not arrive, the doctor has found something), 2 wrong use or
configuration, 3 the ledger cannot be used.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from llmcost_plugins.cli.lazy_group import LazyGroup
from llmcost_plugins.errors import LedgerUnavailable, LLMCostError, MissingExtra

if TYPE_CHECKING:
    from rich.console import Console

# Imported when asked for: `llmcost report` needs neither prices nor webhooks.
_COMMANDS: Final = {
    "alerts": "llmcost_plugins.cli.alerts:alerts",
    "budgets": "llmcost_plugins.cli.budgets:budgets",
    "cache": "llmcost_plugins.cli.cache:cache",
    "doctor": "llmcost_plugins.cli.doctor:doctor",
    "export": "llmcost_plugins.cli.records:export_command",
    "forecast": "llmcost_plugins.cli.forecast:forecast",
    "ledger": "llmcost_plugins.cli.ledger:ledger",
    "prices": "llmcost_plugins.cli.prices:prices",
    "report": "llmcost_plugins.cli.report:report",
    "simulate": "llmcost_plugins.cli.simulate:simulate_command",
    "watch": "llmcost_plugins.cli.watch:watch",
}
_WRONG_USE: Final = 2
_NO_STORAGE: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status. Errors of this library are one line each."""
    try:
        result = cli.main(arguments, prog_name="llmcost", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return _NO_STORAGE if error.exit_code == _NO_STORAGE else _WRONG_USE
    except click.Abort:
        click.echo("stopped", err=True)
        return _WRONG_USE
    except LLMCostError as error:
        click.echo(f"error: {error}", err=True)
        return _NO_STORAGE if isinstance(error, LedgerUnavailable) else _WRONG_USE
    return result if isinstance(result, int) else 0


@click.group(
    cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="llmcost-plugins")
def cli() -> None:
    """Cost control for LLM applications: what was spent, by whom, and what is left."""


@cli.command()
@click.option(
    "--live",
    "model",
    metavar="MODEL",
    help="Make one real call to this OpenAI model (OPENAI_API_KEY must be set).",
)
def demo(model: str | None) -> int:
    """Show the main job on a simulated provider: record, hold, fall back, cache, report."""
    from rich.console import Console

    return _find_demo()(Console(), model)


def _find_demo() -> Callable[["Console", str | None], int]:
    from importlib.metadata import entry_points

    # The core knows no framework: an adapter that is installed brings the demo.
    for entry in entry_points(group="llmcost.demo"):
        try:
            found: Any = entry.load()
        except (MissingExtra, ModuleNotFoundError) as error:
            msg = f"the demo needs more packages ({error}); pip install 'llmcost-plugins[demo]'"
            raise MissingExtra(msg) from error
        return found  # type: ignore[no-any-return]  # the group's contract
    raise MissingExtra.of("demo", "llmcost_langchain")  # noqa: EM101 - names, not a message

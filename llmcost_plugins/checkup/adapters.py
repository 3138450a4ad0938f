"""Whether the adapters that are installed work with the frameworks that are."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from llmcost_plugins.checkup.facts import Fact
from llmcost_plugins.errors import MissingExtra

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "llmcost.checkup"
"""The entry points of adapters that can try themselves: functions that return facts."""


def adapters(entries: "Iterable[EntryPoint] | None" = None) -> Iterator[Fact]:
    """Yield what each adapter finds that tries itself. Imports its framework, which takes seconds.

    Args:
        entries: how they are found; by default those of the packages that are installed.
    """
    if entries is None:
        from importlib.metadata import entry_points

        entries = entry_points(group=GROUP)
    for entry in entries:
        try:
            # The core knows no framework, so what is found is known by its group alone.
            check: Any = entry.load()
            yield from check()
        except MissingExtra:
            continue  # the framework is not installed
        except Exception as error:  # noqa: BLE001 - a check-up tells what is wrong
            why = f"it cannot be tried: {type(error).__name__}: {error}"
            remedy = "compare the versions above with those that the README names"
            yield Fact("adapters", entry.name, "?", "", why, remedy)

"""What happens right now, laid out for a terminal of any size."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from llmcost_plugins.ledger import Entry, Status
from llmcost_plugins.live import Live
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.tables import budget_table, plain_table
from llmcost_plugins.usage import Trust
from llmcost_plugins.wording import money_text, printable

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_BROAD: Final = 150  # from here on there is room for two tables beside each other
_FRAME: Final = 4  # lines of a table beside its rows: title, headings, rule, and what parts it
_TIGHT_FRAME: Final = 2  # the headings, and what parts it
_ENOUGH: Final = 3
_HEAD: Final = 4  # the three at the top, and the last one, which stays free
_WIDEST: Final = 40  # cells of a label
_NARROW: Final = 22
_WITHOUT_END: Final = 10
_SPARE_OF_BUDGETS: Final = ("Resets (UTC)", "Held", "Left", "Used → end", "Per")
_SPARE_OF_CALLS: Final = ("Out", "In", "User", "Feature", " Status")
_COLOURS: Final = {
    Status.OK: "green",
    Status.CACHED: "cyan",
    Status.ERROR: "red",
    Status.LOST: "red",
    Status.ABORTED: "yellow",
}

_Section = tuple[Callable[[int, int], Table], int]
"""Makes a table of so many rows, with labels of so many cells; and the rows there are."""


class LiveView:
    """Shows what happens, in as many lines as there are.

    Args:
        live: what happens.
        zone: the time zone of what is shown.
        currency: of the amounts, but for those of budgets, which are in USD.
        message: what there is to say beside.
        whole: whether to show it for good, in as many lines as it takes.
    """

    def __init__(
        self,
        live: Live,
        zone: tzinfo,
        currency: Currency | None = None,
        *,
        message: str = "",
        whole: bool = False,
    ) -> None:
        self._live = live
        self._zone = zone
        self._currency = currency
        self._message = message
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = None if self._whole else options.height or console.height
        live = self._live
        left: list[_Section] = [
            (self._budgets, len(live.budgets)),
            (self._calls, len(live.calls)),
        ]
        right: list[_Section] = [
            (self._features, len(live.features)),
            (self._refusals, len(live.refusals)),
        ]
        yield self._head(options.max_width)
        if options.max_width < _BROAD:
            yield Group(*_fitted([left[0], right[0], left[1], right[1]], height, _WIDEST))
            return
        grid = Table.grid(padding=(0, 3), expand=True)
        grid.add_column(ratio=5)
        grid.add_column(ratio=4)
        grid.add_row(*(Group(*_fitted(side, height, _NARROW)) for side in (left, right)))
        yield grid

    def _head(self, width: int) -> Group:
        live = self._live
        hours = Text(spark(live.hours), style="green")
        hours.append(f"  {self._money(max(live.hours))} in the dearest hour", style="dim")
        sums = [
            ("this hour ", self._money(live.hour.cost)),
            ("   last hour ", self._money(live.hours[-2])),
            ("   24 hours ", self._money(live.day.cost)),
        ]
        while len(sums) > 1 and sum(cell_len("".join(one)) for one in sums) > width:
            del sums[1]  # rather than to cut an amount
        first = Text()
        for words, amount in sums:
            first.append(words, style="dim").append(amount, style="bold")
        first.append(f"   {live.day.calls:,} calls", style="dim")
        saved = live.day.saved + live.day.fallback_saved
        if saved > 0:
            first.append(f", {self._money(saved)} saved", style="dim")
        if live.day.refused:
            first.append(f", {live.day.refused:,} refused", style="yellow")
        if live.day.unpriced:
            first.append(f", {live.day.unpriced:,} without a price", style="yellow")
        title = Text("llmcost watch", style="bold")
        title.append(f"  {live.at.astimezone(self._zone):%Y-%m-%d %H:%M:%S} ({self._zone})", "dim")
        if self._message:
            title.append(f"  {self._message}", style="red")
        for line in (title, first, hours):
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(title, first, hours)

    def _budgets(self, rows: int, widest: int) -> Table:
        known = self._live.budgets
        shown = [replace(one, scope=_cut(one.scope, widest)) for one in known[:rows]]
        return budget_table(shown, _of("Budgets", len(shown), len(known)), _SPARE_OF_BUDGETS)

    def _features(self, rows: int, widest: int) -> Table:
        shown = self._live.features[:rows]
        title = _of("Features, 24 hours", len(shown), len(self._live.features))
        table = plain_table(title, spare=("Average", "Calls"))
        table.add_column("Feature", no_wrap=True, min_width=12)
        for heading in ("Calls", "Cost", "Average"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading) + 2)
        for row in shown:
            average = "-" if row.average is None else self._money(row.average)
            table.add_row(
                _label(row.group[0], widest), f"{row.calls:,}", self._money(row.cost), average
            )
        return table

    def _calls(self, rows: int, _widest: int) -> Table:
        table = plain_table("Last calls", spare=_SPARE_OF_CALLS)
        table.add_column("Began", no_wrap=True, min_width=9)
        for heading in ("Model", "Feature", "User"):
            table.add_column(heading, no_wrap=True, min_width=8)
        for heading in ("In", "Out", "Cost"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading) + 2)
        table.add_column(" Status", no_wrap=True, min_width=8)
        for entry in self._live.calls[:rows]:
            labels, outcome = entry.call.labels.values, entry.outcome
            table.add_row(
                self._clock(entry.call.at),
                _label(entry.call.model, _NARROW),
                _label(labels.get("feature", ""), _NARROW),
                _label(labels.get("user", ""), _NARROW // 2),
                f"{outcome.usage.prompt_tokens:,}",
                f"{outcome.usage.completion_tokens:,}",
                self._cost(entry),
                Text(f" {outcome.status.value}", style=_COLOURS.get(outcome.status, "")),
            )
        return table

    def _refusals(self, rows: int, widest: int) -> Table:
        table = plain_table("Last refusals", spare=("Feature", "Model", "Calls "))
        table.add_column("From", no_wrap=True, min_width=9)
        table.add_column("Calls ", justify="right", no_wrap=True)
        for heading in ("Refused by", "Model", "Feature"):
            table.add_column(heading, no_wrap=True, min_width=8)
        for entry in self._live.refusals[:rows]:
            table.add_row(
                self._clock(entry.call.at),
                f"{entry.count:,} ",
                _label(entry.outcome.detail.removeprefix("budget "), widest),
                _label(entry.call.model, _NARROW),
                _label(entry.call.labels.values.get("feature", ""), _NARROW),
            )
        return table

    def _cost(self, entry: Entry) -> str:
        trust = entry.outcome.usage.trust
        if trust is Trust.UNPRICED:
            return "no price"
        about = "" if trust is Trust.PROVIDER else "~"
        return f"{about}{self._money(nano_to_usd(entry.outcome.cost))}"

    def _clock(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%H:%M:%S}"

    def _money(self, usd: Decimal) -> str:
        return money_text(usd, self._currency)


def spark(amounts: Sequence[Decimal]) -> str:
    """Return a line of blocks, one for each amount; what is little is not nothing."""
    most = max(amounts)
    if most <= 0:
        return " " * len(amounts)
    top = len(_BLOCKS) - 1
    return "".join(
        _BLOCKS[min(top, int(amount / most * top + Decimal("0.5")))] if amount > 0 else " "
        for amount in amounts
    )


def _fitted(sections: Sequence[_Section], height: int | None, widest: int) -> list[RenderableType]:
    """Return the sections that have something to show, with as many rows as fit the height."""
    filled = [(make, count) for make, count in sections if count]
    if height is None:
        return [part for make, _ in filled for part in _parted(make(_WITHOUT_END, widest))]
    frame = _FRAME if height >= _HEAD + len(filled) * (_FRAME + _ENOUGH) else _TIGHT_FRAME
    while len(filled) > 1 and _HEAD + len(filled) * (frame + 1) > height:
        filled.pop()
    rows = _shared(height - _HEAD - len(filled) * frame, [count for _, count in filled])
    tables = [make(most, widest) for (make, _), most in zip(filled, rows, strict=True)]
    return [part for table in tables for part in _parted(table, tight=frame == _TIGHT_FRAME)]


def _parted(table: Table, *, tight: bool = False) -> tuple[RenderableType, ...]:
    table.show_edge = False
    if tight:
        table.title, table.box, table.padding = None, None, (0, 1, 0, 0)
    return Text(), table


def _shared(lines: int, wanted: Sequence[int]) -> list[int]:
    """Share lines out, evenly but to none more than it wants."""
    given = [0] * len(wanted)
    for _ in range(max(lines, len(wanted))):
        open_ = [place for place, want in enumerate(wanted) if given[place] < want]
        if not open_:
            break
        given[min(open_, key=lambda place: given[place])] += 1
    return given


def _of(title: str, shown: int, count: int) -> str:
    return title if shown == count else f"{title} ({shown} of {count:,})"


def _label(text: str, most: int) -> Text:
    # As Text: a label such as "[/red]" is no markup.
    return Text(f"{_cut(printable(text), most) or '-'} ")


def _cut(text: str, most: int) -> str:
    """Return a label that leaves room for what stands beside it, whose cells count, not letters."""
    if cell_len(text) <= most:
        return text
    return f"{set_cell_size(text, most - 1).rstrip()}…"

"""Tables for terminals of any width: no amount is cut in the middle, and no name is left out."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

_INDENT: Final = "  "
_OF_A_NAME: Final = 18  # cells that a name keeps while there is a spare column


class FittingTable(Table):
    """A table that is written row by row where its columns do not fit beside each other.

    Args:
        spare: headings of columns to leave out instead, the first one first: for tables that have
            one line for each row, whose other columns are cut.
        facts: see `Table`.
    """

    def __init__(self, *, spare: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(**facts)
        self._spare = spare

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width
        if self._spare:
            yield from Table.__rich_console__(self._narrowed(room), console, options)
        elif self._takes([self._least(column) for column in self.columns]) <= room:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._row_by_row()

    def _takes(self, widths: Sequence[int]) -> int:
        """Return the width of a table with columns of those widths."""
        parted = len(widths) - 1 + 2 * self.show_edge if self.box else 0
        return sum(widths) + parted + len(widths) * (self.padding[1] + self.padding[3])

    def _texts(self, column: Column) -> Iterator[str]:
        yield str(column.header)
        yield from map(str, column.cells)
        if self.show_footer:
            yield str(column.footer)

    def _widest(self, column: Column) -> int:
        return max(column.min_width or 0, *map(cell_len, self._texts(column)))

    def _least(self, column: Column) -> int:
        """Return how few cells do: of names some, of numbers all."""
        if column.justify == "right" or (column.no_wrap and column.min_width is None):
            return self._widest(column)
        return column.min_width or cell_len(str(column.header))

    def _enough(self, column: Column) -> int:
        return max(self._least(column), min(self._widest(column), _OF_A_NAME))

    def _narrowed(self, room: int) -> Table:
        """Return the table without spare columns for which there is no room, and with short names.

        Cut here: what rich cuts may be an amount.
        """
        columns = self.columns
        for heading in self._spare:
            if self._takes([self._enough(column) for column in columns]) <= room:
                break
            columns = [one for one in columns if one.header != heading]
        widths = [self._widest(column) for column in columns]
        leasts = [self._least(column) for column in columns]
        while self._takes(widths) > room:
            cut = [place for place, least in enumerate(leasts) if widths[place] > least]
            if not cut:
                break
            widths[max(cut, key=lambda place: widths[place])] -= 1
        table = copy(self)
        if self.title:
            table.title = Text(str(self.title), "table.title", no_wrap=True, overflow="ellipsis")
        table.columns = [
            replace(column, width=width, no_wrap=True, overflow="ellipsis", _index=place)
            for place, (column, width) in enumerate(zip(columns, widths, strict=True))
        ]
        return table

    def _row_by_row(self) -> Iterator[Text]:
        if self.title:
            yield Text(str(self.title), style="table.title")
        headings = [str(column.header).strip() for column in self.columns]
        rows = list(zip(*(map(str, column.cells) for column in self.columns), strict=True))
        if self.show_footer:
            rows.append(tuple(str(column.footer) for column in self.columns))
        widest = max(map(cell_len, headings))
        named = int(self.columns[0].justify != "right")
        for row in rows:
            yield Text()
            if named:
                yield Text(row[0] or f"({headings[0]})", style="table.header", overflow="fold")
            for heading, cell in zip(headings[named:], row[named:], strict=True):
                if cell:
                    line = f"{_INDENT}{set_cell_size(heading, widest)} {cell.strip()}"
                    yield Text(line, overflow="fold")
        yield Text()

"""The scale of a chart: where its lines lie and how they are named. In whole nano-units."""

from dataclasses import dataclass
from typing import Final

_LINES: Final = 4
_UNIT: Final = 10**9
_SUFFIXES: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale from 0 on.

    Attributes:
        step: what lies between two lines.
        lines: how many there are beside that of 0.
    """

    step: int
    lines: int

    @property
    def top(self) -> int:
        """The amount at the last line."""
        return self.step * self.lines

    def ticks(self) -> range:
        """Return the amounts at the lines, that of 0 included."""
        return range(0, self.top + 1, self.step)


def scale_to(most: int) -> Scale:
    """Return a scale of round amounts that reaches *most*, with four lines or little fewer."""
    most = max(most, 1)
    power = 1
    while True:
        for digit in (1, 2, 5):
            step = digit * power
            if step * _LINES >= most:
                return Scale(step, -(-most // step))
        power *= 10


def tick_text(amount: int, step: int, sign: str) -> str:
    """Return the name of a line: as many decimals as the step needs, thousands shortened."""
    for size, suffix in _SUFFIXES:
        if step >= size * _UNIT // 10 and amount >= size * _UNIT:
            return f"{sign}{_decimal(amount, size * _UNIT, step)}{suffix}"
    return f"{sign}{_decimal(amount, _UNIT, step)}" if amount else f"{sign}0"


def _decimal(amount: int, unit: int, step: int) -> str:
    decimals = 0
    while step * 10**decimals % unit:
        decimals += 1
    # "$0.50", not "$0.5": that is how amounts of money are read.
    decimals = 2 if decimals == 1 and unit == _UNIT else decimals
    whole, rest = divmod(amount, unit)
    return f"{whole:,}.{rest * 10**decimals // unit:0{decimals}d}" if decimals else f"{whole:,}"

"""Messages as the optimizer sees them, whatever framework they are of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message.

    Attributes:
        role: who speaks; ``tool`` for all that answers a tool call.
        texts: what may be changed, in order.
        rest: what may not: the words of the model, tool calls.
        media: how many images, recordings and files it has.
        calls: the ids of the tool calls that it makes.
        answers: the ids of those that it answers.
        belongs_to_next: whether it makes no sense without the message after it.
    """

    role: Role
    texts: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    media: int = 0
    calls: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    belongs_to_next: bool = False


def groups(turns: Sequence[Turn]) -> list[range]:
    """Return which messages stay or go together: tool calls and all that answers them."""
    last = list(range(len(turns)))
    made: dict[str, int] = {}
    for at, turn in enumerate(turns):
        for call in turn.answers:
            if call in made:
                last[made[call]] = at
        for call in turn.calls:
            made[call] = at
        if turn.belongs_to_next and at + 1 < len(turns):
            last[at] = max(last[at], at + 1)
    found: list[range] = []
    at = 0
    while at < len(turns):
        end, look = last[at], at
        while look <= end:
            end = max(end, last[look])
            look += 1
        found.append(range(at, end + 1))
        at = end + 1
    return found

"""Old messages that there is no room for."""

from collections.abc import Sequence

from llmcost_plugins.optimize.turns import Turn, groups


def trimmed(
    turns: Sequence[Turn], sizes: Sequence[int], max_tokens: int, keep_last: int
) -> list[int]:
    """Return which messages stay, by their place.

    The oldest go first: whole rounds, from a user's message to before the next one, then within the
    newest round the oldest tool calls with their answers. System messages, the last *keep_last*
    messages, the user's last one, and what belongs to a tool call among these stay, whether there
    is room or not.

    Args:
        turns: the messages.
        sizes: their tokens.
        max_tokens: the room.
        keep_last: how many of the newest messages stay in any case.
    """
    excess = sum(sizes) - max_tokens
    if excess <= 0:
        return list(range(len(turns)))
    kept_from = len(turns) - keep_last
    asked = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    rounds = _rounds(turns)
    gone: set[int] = set()

    def drop(places: Sequence[int]) -> None:
        nonlocal excess
        for at in places:
            if excess > 0 and at not in gone and turns[at].role != "system":
                break
        else:
            return
        gone.update(at for at in places if turns[at].role != "system")
        excess -= sum(sizes[at] for at in places if turns[at].role != "system")

    for units in rounds:
        places = [at for unit in units for at in unit]
        if places[-1] < kept_from and asked not in places:
            drop(places)
    for units in rounds:
        for unit in units:
            is_asked = any(turns[at].role == "user" for at in unit)
            if unit[-1] < kept_from and not is_asked and unit[0] not in gone:
                drop(unit)
    return [at for at in range(len(turns)) if at not in gone]


def _rounds(turns: Sequence[Turn]) -> list[list[range]]:
    rounds: list[list[range]] = []
    for unit in groups(turns):
        if not rounds or turns[unit[0]].role == "user":
            rounds.append([])
        rounds[-1].append(unit)
    return rounds

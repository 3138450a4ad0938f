"""Names that may have been meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def near_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the names that are most like *name*, the likeliest first.

    Names that differ in case only come first, then those of other providers' models of that name,
    then spellings that are close. It takes a while for thousands of names: it is for errors.
    """
    folded: dict[str, list[str]] = {}
    for other in sorted(known):
        folded.setdefault(other.casefold(), []).append(other)
    wanted = name.casefold()
    last = wanted.rpartition("/")[2]
    found = list(folded.get(wanted, ()))
    if last:
        for key in sorted(folded, key=len):
            if key != wanted and key.rpartition("/")[2] == last:
                found += folded[key]
    for key in get_close_matches(wanted, folded, n=count, cutoff=0.6):
        found += folded[key]
    return list(dict.fromkeys(found))[:count]


def hint(name: str, known: Iterable[str], count: int = 3) -> str:
    """Say which names may have been meant, to be added to a message; empty when none."""
    return did_you_mean(near_names(name, known, count))


def did_you_mean(names: Sequence[str]) -> str:
    """Offer names at the end of a message; empty when there are none."""
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""

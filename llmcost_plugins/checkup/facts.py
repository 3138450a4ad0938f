"""What a check-up has seen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at.

    Attributes:
        section: what it belongs to, e.g. ``ledger``.
        name: what it is.
        value: how it is, for people; never a secret.
        source: where it comes from; empty where that says nothing.
        finding: what is wrong with it; empty when nothing is.
        remedy: what to do about that.
    """

    section: str
    name: str
    value: str
    source: str = ""
    finding: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """All that was looked at.

    Attributes:
        facts: in the order in which they are shown.
        unreadable: why the ledger cannot be read; empty when it can, or there is none yet.
    """

    facts: tuple[Fact, ...]
    unreadable: str = ""

    @property
    def findings(self) -> tuple[Fact, ...]:
        """The facts that something is wrong with."""
        return tuple(fact for fact in self.facts if fact.finding)

"""Starts `caller.py` several times on one ledger, and checks what is in the ledger afterwards."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcost_plugins.testing import SimulatedProvider

CALLER = Path(__file__).with_name("caller.py")
WORST = (400 + 64) * 2500 + 100 * 10_000
"""What the largest call of `caller.py` is held for, in nano-dollars."""


@dataclass(frozen=True)
class Caller:
    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    def lines(self) -> list[list[str]]:
        # A line that a kill has cut short has no newline.
        text = self.output.read_text("utf-8")
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def settled(self) -> dict[str, int]:
        return {words[0]: int(words[1]) for words in self.lines() if len(words[0]) == 32}

    def said(self, *words: str) -> bool:
        return list(words) in self.lines()

    def wait(self) -> None:
        assert self.process.wait(timeout=300) == 0, self.errors.read_text("utf-8")
        assert self.errors.read_text("utf-8") == ""


class Fleet:
    def __init__(self, folder: Path, provider: SimulatedProvider) -> None:
        self.path = folder / "ledger.db"
        self.provider = provider
        self.callers: list[Caller] = []
        self._folder = folder

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def start(self, limit: str, **plan: Any) -> Caller:
        number = len(self.callers)
        facts = {"ledger": self.url, "provider": self.provider.base_url, "limit": limit, **plan}
        output, errors = self._folder / f"{number}.out", self._folder / f"{number}.err"
        with output.open("wb") as out, errors.open("wb") as err:
            command = [sys.executable, str(CALLER), json.dumps(facts)]
            process = subprocess.Popen(command, stdout=out, stderr=err)
        self.callers.append(Caller(process, output, errors))
        return self.callers[-1]

    def kill_all(self) -> None:
        for caller in self.callers:
            caller.process.kill()
            caller.process.wait()

    def settled(self) -> dict[str, int]:
        done: dict[str, int] = {}
        for caller in self.callers:
            done |= caller.settled()
        return done

    def billed(self) -> dict[str, int]:
        """Return what the provider billed for each call, in nano-dollars."""
        # A request that a kill has cut short is answered with an error, and costs nothing.
        lines = [line for line in self.provider.settled(timeout=30) if line.cost_nano]
        billed = {str(line.body["user"]): line.cost_nano for line in lines}
        assert len(billed) == len(lines)
        return billed

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(sql).fetchall()

    def costs(self) -> dict[str, int]:
        """Return what the ledger says that each call cost, corrections included."""
        sql = "SELECT call_id, sum(cost) FROM entries WHERE status <> 'refused' GROUP BY call_id"
        return dict(self.query(sql))

    def spent(self) -> int:
        return sum(self.costs().values())

    def check_books(self) -> None:
        """Assert that no sum in the ledger differs from its entries, and no hold is left."""
        assert self.query("PRAGMA integrity_check") == [("ok",)]
        assert self.query("SELECT call_id, owner FROM holds") == []
        assert self.query("SELECT key, held, holds FROM buckets WHERE held OR holds") == []
        twice = (
            "SELECT call_id, count(*) FROM entries GROUP BY call_id "
            "HAVING sum(status <> 'correction') <> 1 OR count(*) > 2"
        )
        assert self.query(twice) == []
        by_entries = (
            "SELECT b.key, sum(b.value) FROM entries, json_each(entries.buckets) AS b "
            "GROUP BY b.key ORDER BY b.key"
        )
        buckets = self.query("SELECT key, spent FROM buckets ORDER BY key")
        assert len(buckets) == 2
        assert buckets == self.query(by_entries)
        sums = "SELECT (SELECT sum(cost) FROM totals), (SELECT sum(cost) FROM totals_by_person)"
        assert self.query(sums) == [(self.spent(), self.spent())]


def eventually(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.01)
    msg = "it did not become true"
    raise AssertionError(msg)


def tell(line: str) -> None:
    """Show what was measured, under `pytest -s`."""
    sys.stdout.write(f"\n{line}\n")

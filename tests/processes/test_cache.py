"""Processes and threads that ask the same share one cache: one call for each prompt."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmcost_plugins.testing import SimulatedProvider
from tests.processes.fleet import Caller, eventually, tell

ASKER = Path(__file__).with_name("asker.py")

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="starts processes as POSIX does"),
    pytest.mark.timeout(600),
]


class Askers:
    def __init__(self, folder: Path, provider: SimulatedProvider) -> None:
        self.folder = folder
        self.provider = provider
        self.callers: list[Caller] = []

    def start(self, *, threads: int, requests: int, prompts: int) -> Caller:
        number = len(self.callers)
        plan = {
            "folder": str(self.folder / "cache"),
            "provider": self.provider.base_url,
            "threads": threads,
            "requests": requests,
            "prompts": prompts,
            "seed": number * threads,
        }
        output, errors = self.folder / f"{number}.out", self.folder / f"{number}.err"
        with output.open("wb") as out, errors.open("wb") as err:
            command = [sys.executable, str(ASKER), json.dumps(plan)]
            process = subprocess.Popen(command, stdout=out, stderr=err)
        self.callers.append(Caller(process, output, errors))
        return self.callers[-1]

    def count(self, word: str) -> Counter[int]:
        lines = [line for caller in self.callers for line in caller.lines()]
        return Counter(int(line[1]) for line in lines if line[0] == word)

    def asked(self) -> Counter[int]:
        """Return how often the provider was asked each prompt."""
        return Counter(int(line.body["user"]) for line in self.provider.settled(timeout=30))

    def check_database(self) -> None:
        with closing(sqlite3.connect(self.folder / "cache" / "cache.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def askers(tmp_path: Path, provider: SimulatedProvider) -> Iterator[Askers]:
    made = Askers(tmp_path, provider)
    yield made
    for caller in made.callers:
        caller.process.kill()
        caller.process.wait()


def kill_after(victim: Caller, lines: int) -> None:
    eventually(lambda: victim.process.poll() is not None or len(victim.lines()) >= lines)
    victim.process.send_signal(signal.SIGKILL)
    victim.process.wait()


def test_each_prompt_is_paid_for_once(askers: Askers, long: bool) -> None:
    processes, threads, requests, prompts = (16, 16, 79, 200) if long else (4, 4, 40, 40)
    started = time.monotonic()
    for _ in range(processes):
        askers.start(threads=threads, requests=requests, prompts=prompts)
    for caller in askers.callers:
        caller.wait()
    total = processes * threads * requests
    seconds = time.monotonic() - started
    tell(f"{processes} x {threads}: {total} requests, {prompts} prompts, {seconds:.1f} s")
    assert askers.asked() == Counter(range(prompts))
    hits = sum(int(line[1]) for c in askers.callers for line in c.lines() if line[0] == "done")
    assert hits == total - prompts
    askers.check_database()


def test_a_killed_leader_costs_its_own_call_at_most(askers: Askers, long: bool) -> None:
    processes, threads, requests, prompts = (16, 16, 79, 200) if long else (4, 4, 60, 60)
    chance = random.Random(7)
    running = [
        askers.start(threads=threads, requests=requests, prompts=prompts) for _ in range(processes)
    ]
    for victim in running[: processes // 2]:
        # At a moment when it leads, or right after.
        kill_after(victim, 1 + chance.randrange(3))
    for survivor in running[processes // 2 :]:
        survivor.wait()
    kept, led = askers.count("kept"), askers.count("lead")
    for prompt, asked in askers.asked().items():
        # A leader that was killed has led, and kept nothing.
        assert asked <= 1 + led[prompt] - kept[prompt], prompt
        assert kept[prompt] <= 1
    askers.check_database()

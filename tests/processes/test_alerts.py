"""Several real processes and a real webhook: each thing is told, and by one of them."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins.alerts import Outbox, Webhook, signature
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import FakeClock
from tests.webhooks import Receiver, receiving

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does")

SCRIPT = Path(__file__).with_name("alerting.py")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


class Started:
    """Processes that wait for the word to go."""

    def __init__(self, path: Path, receiver: Receiver, count: int, mode: str) -> None:
        arguments = [sys.executable, "-W", "error", str(SCRIPT), f"sqlite:///{path}", receiver.url]
        self.processes = [
            subprocess.Popen(
                [*arguments, str(number), mode],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def go(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def wait(self) -> None:
        for process in self.processes:
            _, errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (0, "")


def test_eight_processes_crossing_one_threshold_together_send_one_alert(
    tmp_path: Path, receiver: Receiver
) -> None:
    started = Started(tmp_path / "ledger.db", receiver, 8, "cross")
    started.go()
    started.wait()
    (post,) = receiver.posts
    assert (post.facts["scope"], post.facts["threshold"]) == ("global", "0.5")
    moment = post.headers["x-llmcost-timestamp"]
    signed = signature("a-long-random-text", moment, post.body)
    assert post.headers["x-llmcost-signature"] == signed
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        (alert,) = ledger.alerts()
        assert alert.sent_at is not None
        assert alert.tries == 1


def test_a_process_that_ends_without_closing_sends_what_waits(
    tmp_path: Path, receiver: Receiver
) -> None:
    started = Started(tmp_path / "ledger.db", receiver, 4, "exit")
    started.go()
    started.wait()
    assert len(receiver.posts) == 1


def test_the_alert_of_a_process_killed_while_sending_is_sent_by_another(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.hang()
    started = Started(tmp_path / "ledger.db", receiver, 1, "die")
    started.go()
    assert receiver.arrived.wait(30)
    (process,) = started.processes
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    receiver.goes_on.set()
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        (alert,) = ledger.alerts()
        assert (alert.sent_at, alert.tries) == (None, 1)
        clock = FakeClock(datetime.now(UTC))
        box = Outbox(ledger, Webhook(receiver.url), clock)
        box.deliver()
        assert len(receiver.posts) == 1  # the dead one's time is not up
        clock.advance(timedelta(seconds=90))
        assert box.deliver() is True
        assert len(receiver.posts) == 2
        keys = {post.headers["idempotency-key"] for post in receiver.posts}
        assert len(keys) == 1
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert db.execute("SELECT count(*) FROM told").fetchone() == (1,)

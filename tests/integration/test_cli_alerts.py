"""`llmcost alerts` as a user runs it: in a process of its own, with a real webhook."""

import csv
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmcost_plugins import Budget, CostTracker, Usage
from llmcost_plugins.alerts import signature
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.testing import FakeClock
from tests.support import run_llmcost
from tests.webhooks import Receiver, receiving

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SECRET = "a-long-random-text"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}"}
        return run_llmcost(
            tmp_path, "alerts", *arguments, **{"COLUMNS": "150", **own, **environment}
        )

    return run


@pytest.fixture
def crossed(tmp_path: Path) -> None:
    """Cross a threshold in a process without a webhook, long ago."""
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        clock = FakeClock(datetime(2026, 3, 4, 12, tzinfo=UTC))
        tracker = CostTracker(ledger, [Budget("global", "0.004", "day")], clock=clock)
        call = tracker.start(CallSpec("c1", "gpt-4o", "openai", CallSize(1000, 100)))
        call.finish(Usage(input=1000, output=100))


def test_a_test_sends_one_signed_alert(llmcost: Run, receiver: Receiver) -> None:
    done = llmcost("test", LLMCOST_ALERT_WEBHOOK=receiver.url, LLMCOST_ALERT_SECRET=SECRET)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "127.0.0.1 has taken it\n"
    (post,) = receiver.posts
    moment = post.headers["x-llmcost-timestamp"]
    assert post.headers["x-llmcost-signature"] == signature(SECRET, moment, post.body)
    assert post.facts["scope"] == "test"


@pytest.mark.parametrize("status", [302, 401, 500])
def test_a_webhook_that_takes_nothing_is_a_finding(
    llmcost: Run, receiver: Receiver, status: int
) -> None:
    receiver.status, receiver.location = status, receiver.url
    done = llmcost("test", LLMCOST_ALERT_WEBHOOK=receiver.url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"it did not arrive: 127.0.0.1 answered {status}")
    assert len(receiver.posts) == 1


def test_a_webhook_that_hangs_is_a_finding(llmcost: Run, receiver: Receiver) -> None:
    receiver.hang()
    done = llmcost("test", LLMCOST_ALERT_WEBHOOK=receiver.url, LLMCOST_ALERT_TIMEOUT="0.2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "it did not arrive: 127.0.0.1 said nothing for 0.2 s\n"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "no webhook is set; a good value is LLMCOST_ALERT_WEBHOOK='https://"),
        ({"LLMCOST_ALERT_WEBHOOK": "nonsense"}, "'nonsense'... is no address"),
        (
            {"LLMCOST_ALERT_WEBHOOK": "https://a.example/", "LLMCOST_ALERT_SECRET": "short"},
            "the secret of the webhook has 5 characters",
        ),
        (
            {"LLMCOST_ALERT_WEBHOOK": "https://a.example/", "LLMCOST_ALERT_TIMEOUT": "soon"},
            "LLMCOST_ALERT_TIMEOUT='soon' cannot be used",
        ),
    ],
)
@pytest.mark.parametrize("command", ["test", "flush"])
def test_wrong_settings_are_one_line_and_wrong_use(
    llmcost: Run, command: str, environment: dict[str, str], words: str
) -> None:
    done = llmcost(command, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("crossed")
def test_what_waits_is_listed_flushed_however_old_and_listed_as_sent(
    llmcost: Run, receiver: Receiver
) -> None:
    (waiting,) = json.loads(llmcost("list", "--format", "json").stdout)
    assert waiting == {
        "kind": "threshold",
        "scope": "global",
        "period": "day",
        "unit": "usd",
        "limit": "0.004",
        "spent": "0.0035",
        "threshold": "0.8",
        "projected": None,
        "model": "gpt-4o",
        "at": "2026-03-04T12:00:00+00:00",
        "text": "budget 'global' per day has reached 80%: $0.0035 of $0.0040 spent",
        "tries": 0,
        "sent_at": None,
        "failure": "",
    }
    done = llmcost("flush", LLMCOST_ALERT_WEBHOOK=receiver.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "1 sent, 0 waiting\n")
    assert len(receiver.posts) == 1
    again = llmcost("flush", LLMCOST_ALERT_WEBHOOK=receiver.url)
    assert (again.returncode, again.stderr) == (0, "0 sent, 0 waiting\n")
    assert len(receiver.posts) == 1
    (sent,) = csv.DictReader(io.StringIO(llmcost("list", "--format", "csv").stdout))
    assert sent["sent_at"]
    assert "has reached 80%" in llmcost("list").stdout


@pytest.mark.usefixtures("crossed")
def test_what_could_not_be_flushed_stays_and_says_why(llmcost: Run, receiver: Receiver) -> None:
    receiver.status = 500
    done = llmcost("flush", LLMCOST_ALERT_WEBHOOK=receiver.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "0 sent, 1 waiting" in done.stderr
    assert "127.0.0.1 answered 500" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["list", "flush"])
def test_where_there_is_no_ledger_none_is_made(llmcost: Run, tmp_path: Path, command: str) -> None:
    done = llmcost(command, LLMCOST_ALERT_WEBHOOK="https://a.example/")
    assert done.returncode == 0
    assert "nothing is recorded yet" in done.stderr
    assert not (tmp_path / "ledger.db").exists()


def test_a_ledger_that_is_none_is_a_failure_of_storage(llmcost: Run, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"damaged" * 1000)
    done = llmcost("list")
    assert done.returncode == 3
    assert "cannot be used" in done.stderr

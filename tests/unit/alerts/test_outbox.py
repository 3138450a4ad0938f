import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from llmcost_plugins.alerts import BudgetEvent, Outbox, Webhook
from llmcost_plugins.budgets import Budget
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import NOON, make_tracker, spec
from tests.webhooks import Receiver, receiving

USED = Usage(input=1000, output=100)
BUDGET = Budget("user:*", "0.004", "day", warn_at=["0.5", "0.8"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def cross(tracker: CostTracker) -> None:
    tracker.start(spec(labels=make_labels({"user": "u1"}))).finish(USED)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "llmcost-alerts"]


def outbox(ledger: Ledger, clock: FakeClock, receiver: Receiver, timeout: float = 5) -> Outbox:
    return Outbox(ledger, Webhook(receiver.url, timeout=timedelta(seconds=timeout)), clock)


def test_a_call_over_two_thresholds_sends_one_alert_of_the_higher(
    ledger: Ledger, clock: FakeClock, receiver: Receiver
) -> None:
    events: list[BudgetEvent] = []
    tracker = make_tracker(
        ledger, clock, BUDGET, sinks=[events.append], webhook=Webhook(receiver.url)
    )
    cross(tracker)
    assert receiver.arrived.wait(20)
    tracker.close()
    assert [str(event.threshold) for event in events] == ["0.5", "0.8"]
    (post,) = receiver.posts
    assert post.facts == {
        "version": 1,
        "kind": "threshold",
        "scope": "user:u1",
        "period": "day",
        "unit": "usd",
        "limit": "0.004",
        "spent": "0.0035",
        "threshold": "0.8",
        "projected": None,
        "model": "gpt-4o",
        "at": NOON.isoformat(),
        "text": "budget 'user:u1' per day has reached 80%: $0.0035 of $0.0040 spent",
    }
    (alert,) = ledger.alerts()
    assert (alert.sent_at, alert.tries) == (NOON, 1)
    assert threads() == []


def test_without_a_webhook_no_thread_runs_and_the_alert_waits_for_another_process(
    ledger: Ledger, clock: FakeClock, receiver: Receiver
) -> None:
    cross(make_tracker(ledger, clock, BUDGET))
    assert threads() == []
    # Another tracker that only makes a call, whose budget reaches nothing, takes care of it.
    other = make_tracker(ledger, clock, webhook=Webhook(receiver.url))
    cross(other)
    assert receiver.arrived.wait(20)
    other.close()
    assert [post.facts["scope"] for post in receiver.posts] == ["user:u1"]


def test_with_a_webhook_no_thread_runs_before_there_is_something_to_send(
    ledger: Ledger, clock: FakeClock, receiver: Receiver
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 9), webhook=Webhook(receiver.url))
    cross(tracker)
    assert threads() == []
    tracker.close()
    assert receiver.posts == []


def test_a_webhook_that_fails_is_tried_again_after_pauses_that_double(
    ledger: Ledger, clock: FakeClock, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    cross(make_tracker(ledger, clock, BUDGET))
    receiver.status = 500
    box = outbox(ledger, clock, receiver)
    for pause in (2, 4, 8, 16):
        assert box.deliver() is False
        assert box.deliver() is True  # nothing is due
        (alert,) = ledger.alerts()
        assert (alert.due_at, alert.sent_at) == (clock() + timedelta(seconds=pause), None)
        assert alert.failure == "127.0.0.1 answered 500"
        clock.advance(pause)
    receiver.status = 204
    assert box.deliver() is True
    assert len(receiver.posts) == 5
    assert len({post.headers["idempotency-key"] for post in receiver.posts}) == 1
    assert ledger.alerts()[0].sent_at == clock()
    assert caplog.text.count("an alert could not be sent") == 1


def test_the_thread_tries_again_by_itself(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmcost_plugins.alerts import outbox as module
    from llmcost_plugins.clock import utc_now

    monkeypatch.setattr(module, "_FIRST_PAUSE", timedelta(seconds=0.1))
    receiver.status = 503
    tracker = make_tracker(ledger, utc_now, BUDGET, webhook=Webhook(receiver.url))
    cross(tracker)
    assert receiver.arrived.wait(20)
    receiver.status = 200
    receiver.arrived.clear()
    assert receiver.arrived.wait(20)
    tracker.close()
    assert ledger.alerts()[0].sent_at is not None


def test_what_a_dead_process_was_sending_is_sent_by_another_after_the_lease(
    ledger: Ledger, clock: FakeClock, receiver: Receiver
) -> None:
    cross(make_tracker(ledger, clock, BUDGET))
    assert ledger.claim_alert(clock(), clock() + timedelta(seconds=40)) is not None  # and dies
    box = outbox(ledger, clock, receiver)
    assert box.deliver() is True
    assert receiver.posts == []
    clock.advance(40)
    assert box.deliver() is True
    assert len(receiver.posts) == 1


def test_a_webhook_that_hangs_holds_up_no_call_and_closing_ends(
    ledger: Ledger, clock: FakeClock, receiver: Receiver
) -> None:
    receiver.hang()
    webhook = Webhook(receiver.url, timeout=timedelta(seconds=0.3))
    tracker = make_tracker(ledger, clock, BUDGET, webhook=webhook)
    cross(tracker)
    assert receiver.arrived.wait(20)
    # The receiver still has the first alert in its hands.
    tracker.start(spec(labels=make_labels({"user": "u2"}))).finish(USED)
    tracker.close()
    assert {alert.sent_at for alert in ledger.alerts()} == {None}
    assert len(ledger.alerts()) == 2


def test_old_alerts_are_left_to_those_who_ask_for_them(
    ledger: Ledger, clock: FakeClock, receiver: Receiver
) -> None:
    cross(make_tracker(ledger, clock, BUDGET))
    clock.advance(timedelta(days=4))
    tracker = make_tracker(ledger, clock, webhook=Webhook(receiver.url))
    cross(tracker)
    tracker.close()
    assert receiver.posts == []
    assert outbox(ledger, clock, receiver).deliver() is True
    assert len(receiver.posts) == 1


def test_closing_a_tracker_makes_no_ledger(
    tmp_path: os.PathLike[str], clock: FakeClock, receiver: Receiver
) -> None:
    path = f"{tmp_path}/none.db"
    tracker = make_tracker(open_ledger(f"sqlite:///{path}"), clock, webhook=Webhook(receiver.url))
    tracker.close()
    assert not os.path.exists(path)  # noqa: PTH110 - a plain question


def test_nothing_of_the_prompt_or_the_labels_beyond_the_scope_is_sent(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, BUDGET)
    labels = make_labels({"user": "u1", "team": "secret team"}, tags=["secret tag"])
    tracker.start(spec(labels=labels)).finish(USED)
    (alert,) = ledger.alerts()
    assert "secret" not in alert.payload
    assert json.loads(alert.payload)["scope"] == "user:u1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_delivers_with_a_thread_of_its_own(
    ledger: Ledger, clock: FakeClock, receiver: Receiver
) -> None:
    receiver.hang()
    webhook = Webhook(receiver.url, timeout=timedelta(seconds=5))
    tracker = make_tracker(ledger, clock, BUDGET, webhook=webhook)
    cross(tracker)
    assert receiver.arrived.wait(20)
    child = os.fork()
    if child == 0:
        try:
            tracker.start(spec(id="child", labels=make_labels({"user": "u2"}))).finish(USED)
            tracker.close()
        finally:
            os._exit(0)
    receiver.goes_on.set()
    os.waitpid(child, 0)
    tracker.close()
    assert sorted(post.facts["scope"] for post in receiver.posts) == ["user:u1", "user:u2"]


def test_a_ledger_that_cannot_be_used_is_logged_and_the_close_goes_on(
    ledger: Ledger, clock: FakeClock, receiver: Receiver, caplog: pytest.LogCaptureFixture,
    tmp_path: os.PathLike[str],
) -> None:  # fmt: skip
    tracker = make_tracker(ledger, clock, BUDGET, webhook=Webhook(receiver.url))
    ledger.close()
    with open(f"{tmp_path}/ledger.db", "wb") as file:  # noqa: PTH123 - a plain file
        file.write(b"damaged" * 1000)
    with caplog.at_level(logging.WARNING, "llmcost_plugins"):
        tracker.close()
    assert "alerts wait in the ledger" in caplog.text


def test_where_no_thread_is_to_be_had_the_call_goes_on_and_the_alert_waits(
    ledger: Ledger, clock: FakeClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    tracker = make_tracker(ledger, clock, BUDGET, webhook=Webhook(receiver.url))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        cross(tracker)
    assert tracker.failures == 0
    assert [alert.sent_at for alert in ledger.alerts()] == [None]
    tracker.close()
    assert len(receiver.posts) == 1

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from llmcost_plugins.alerts import NotDelivered, Webhook, signature
from llmcost_plugins.errors import ConfigurationError
from tests.unit.trackers import NOON
from tests.webhooks import Receiver, receiving

SECRET = "a-long-random-text"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_what_is_sent_is_signed_with_its_time_and_names_itself(receiver: Receiver) -> None:
    webhook = Webhook(receiver.url, SECRET)
    webhook.send("b€|0.8", '{"a": "ä"}', NOON)
    webhook.send("b€|0.8", '{"a": "ä"}', NOON + timedelta(seconds=1))
    first, second = receiver.posts
    assert first.facts == {"a": "ä"}
    moment = first.headers["x-llmcost-timestamp"]
    assert int(moment) == int(NOON.timestamp())
    assert first.headers["x-llmcost-signature"] == signature(SECRET, moment, first.body)
    assert first.headers["x-llmcost-signature"] != second.headers["x-llmcost-signature"]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_the_signature_is_hmac_sha256_of_time_and_body() -> None:
    # As computed by: printf '1.{}' | openssl dgst -sha256 -hmac a-long-random-text
    import hashlib
    import hmac

    expected = hmac.digest(SECRET.encode(), b"1.{}", hashlib.sha256).hex()
    assert signature(SECRET, "1", b"{}") == f"sha256={expected}"


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    Webhook(receiver.url).send("k", "{}", NOON)
    assert "x-llmcost-signature" not in receiver.posts[0].headers


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_nothing_is_sent_on(receiver: Receiver, status: int) -> None:
    with receiving() as other:
        receiver.status, receiver.location = status, other.url
        with pytest.raises(NotDelivered, match=f"answered {status}; redirects are refused"):
            Webhook(receiver.url).send("k", "{}", NOON)
        assert other.posts == []


def test_an_answer_that_is_no_success_names_the_host_but_not_the_path(receiver: Receiver) -> None:
    receiver.status = 500
    with pytest.raises(NotDelivered) as caught:
        Webhook(receiver.url).send("k", "{}", NOON)
    assert str(caught.value) == "127.0.0.1 answered 500"


def test_a_webhook_that_hangs_is_given_up(receiver: Receiver) -> None:
    receiver.hang()
    webhook = Webhook(receiver.url, timeout=timedelta(seconds=0.2))
    with pytest.raises(NotDelivered, match=r"said nothing for 0\.2 s"):
        webhook.send("k", "{}", NOON)


def test_an_address_where_nobody_listens_is_no_traceback() -> None:
    with receiving() as gone:
        pass
    with pytest.raises(NotDelivered, match="cannot be reached"):
        Webhook(gone.url).send("k", "{}", NOON)


@pytest.mark.parametrize(
    "url",
    ["", "x", "alerts.example.com/x", "ftp://a.example/x", "http://", "file:///etc/passwd",
     "http://a.example:port/", "http://a b/", "http://a.example/\n", "http://ä.example/"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_a_good_one(url: str) -> None:
    with pytest.raises(ConfigurationError, match="LLMCOST_ALERT_WEBHOOK='https://"):
        Webhook(url)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"secret": "short"}, "has 5 characters; it needs 16 or more"),
        ({"timeout": timedelta(0)}, "more than 0 seconds"),
        ({"url": "https://u:p@a.example/"}, "has a user in it"),
    ],
)
def test_what_cannot_work_is_refused_early(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Webhook(**{"url": "https://a.example/", **facts})


def test_neither_the_secret_nor_the_path_is_shown() -> None:
    shown = repr(Webhook("https://a.example/token", SECRET))
    assert SECRET not in shown
    assert "token" not in shown

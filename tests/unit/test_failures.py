import asyncio

import httpx
import openai
import pytest

from llmcost_plugins.failures import ended_by_caller, is_transient, kind_of, may_be_billed

REQUEST = httpx.Request("POST", "http://127.0.0.1/v1/chat/completions")


def status(code: int) -> Exception:
    response = httpx.Response(code, request=REQUEST)
    return openai.APIStatusError(f"Error code: {code}", response=response, body=None)


def wrapped(cause: Exception, wrapper: type[openai.APIConnectionError]) -> Exception:
    error = wrapper(request=REQUEST)
    error.__cause__ = cause
    return error


def unreadable(code: int) -> Exception:
    response = httpx.Response(code, request=REQUEST)
    return openai.APIResponseValidationError(response=response, body=None)


LOST = wrapped(httpx.RemoteProtocolError("cut"), openai.APIConnectionError)
UNREACHED = wrapped(httpx.ConnectError("refused"), openai.APIConnectionError)
TIMED_OUT = wrapped(httpx.ReadTimeout("slow"), openai.APITimeoutError)
NOT_CONNECTED = wrapped(httpx.ConnectTimeout("slow"), openai.APITimeoutError)


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (status(400), False),
        (status(429), False),
        (status(500), False),
        (unreadable(200), True),
        (unreadable(502), False),
        (UNREACHED, False),
        (NOT_CONNECTED, False),
        (LOST, True),
        (TIMED_OUT, True),
        (TimeoutError(), True),
        (ValueError("a bug"), False),
    ],
    ids=repr,
)
def test_only_what_was_sent_and_not_refused_by_a_status_may_be_billed(
    error: Exception, billed: bool
) -> None:
    assert may_be_billed(error) is billed


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (status(400), False),
        (status(401), False),
        (status(404), False),
        (status(408), True),
        (status(429), True),
        (status(500), True),
        (status(503), True),
        (UNREACHED, True),
        (LOST, True),
        (TIMED_OUT, True),
        (ValueError("a bug"), False),
    ],
    ids=repr,
)
def test_limits_server_errors_and_lost_connections_are_worth_another_model(
    error: Exception, transient: bool
) -> None:
    assert is_transient(error) is transient


def test_an_error_that_is_its_own_context_is_looked_at_once() -> None:
    error = ValueError("odd")
    error.__context__ = RuntimeError("outer")
    error.__context__.__context__ = error
    assert not may_be_billed(error)


@pytest.mark.parametrize("error", [GeneratorExit(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_an_interruption_comes_from_the_caller(error: BaseException) -> None:
    assert ended_by_caller(error)
    assert not ended_by_caller(TimeoutError())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (status(429), f"{type(status(429)).__name__}, status 429"),
        (TIMED_OUT, "APITimeoutError"),
        (ValueError("quotes a prompt"), "ValueError"),
    ],
)
def test_the_kind_of_an_error_is_its_class_and_status_without_its_text(
    error: Exception, kind: str
) -> None:
    assert kind_of(error) == kind

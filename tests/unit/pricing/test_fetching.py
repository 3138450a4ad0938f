import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.fetching import fetch

BODY = b'{"gpt-4o": {}}' * 20_000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        {
            "/map.json": self.whole,
            "/without-length": self.without_length,
            "/moved": lambda: self.moved("/map.json"),
            "/to-file": lambda: self.moved("file:///etc/hostname"),
            "/to-ftp": lambda: self.moved("ftp://127.0.0.1/map.json"),
            "/loop": lambda: self.moved("/loop"),
            "/short": self.short,
            "/slow": self.slow,
            "/endless": self.endless,
        }.get(self.path, lambda: self.send_error(404))()

    def whole(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def without_length(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(BODY)

    def moved(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.end_headers()

    def short(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"only this")

    def slow(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(50):
            self.wfile.write(b" ")
            time.sleep(0.05)

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b" " * 10_000)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(OSError):  # the client has had enough
            super().handle()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["/map.json", "/moved", "/without-length"])
def test_a_file_is_fetched_whole(server: str, path: str) -> None:
    assert fetch(server + path) == BODY


@pytest.mark.parametrize(("path", "size"), [("/map.json", len(BODY)), ("/without-length", None)])
def test_progress_is_told(server: str, path: str, size: int | None) -> None:
    told: list[tuple[int, int | None]] = []
    fetch(server + path, told=lambda done, whole: told.append((done, whole)))
    assert told[-1] == (len(BODY), size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda server: server + "/none", "HTTP Error 404"),
        (lambda server: server + "/to-file", "HTTP Error 302"),
        (lambda server: server + "/to-ftp", "it is redirected to 'ftp://127.0.0.1/map.json'"),
        (lambda server: server + "/loop", "HTTP Error 302"),
        (lambda server: server + "/short", "it ended after 9 of 100 bytes"),
        (lambda _: "http://127.0.0.1:1/map.json", "refused"),
        (lambda _: "http:///map.json", "no host given"),
        (lambda server: server + "/with space", "control characters"),
        (lambda server: server + "/endless", "it has more than 1,000,000 bytes"),
        (lambda server: server + "/slow", "it takes too long"),
        (lambda _: "file:///etc/hostname", "it must begin with https:// or http://"),
        (lambda _: "ftp://127.0.0.1/x", "it must begin with https:// or http://"),
        (lambda _: "map.json", "it must begin with https:// or http://"),
    ],
)
def test_what_cannot_be_fetched_is_an_error_with_the_address_and_the_reason(
    server: str, make: Callable[[str], str], says: str
) -> None:
    url = make(server)
    with pytest.raises(ConfigurationError) as caught:
        fetch(url, most_bytes=10**6, most_seconds=0.5)
    assert repr(url) in str(caught.value)
    assert says in str(caught.value)
    assert "http" in str(caught.value)


def test_a_server_that_says_nothing_is_given_up() -> None:
    # It accepts connections and never serves them.
    silent = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with silent, pytest.raises(ConfigurationError, match="timed out"):
        fetch(f"http://127.0.0.1:{silent.server_port}/map.json", most_seconds=0.2)


def test_https_is_never_left_for_http() -> None:
    import urllib.error
    import urllib.request
    from http.client import HTTPMessage
    from io import BytesIO

    from llmcost_plugins.pricing.fetching import _NoDowngrade

    def redirected(start: str, target: str) -> object:
        request = urllib.request.Request(start)  # noqa: S310 - nothing is opened
        return _NoDowngrade().redirect_request(
            request, BytesIO(), 302, "Found", HTTPMessage(), target
        )

    assert redirected("http://a.example/x", "https://a.example/x") is not None
    assert redirected("https://a.example/x", "https://b.example/x") is not None
    with pytest.raises(urllib.error.URLError, match=r"redirected to 'http://a\.example/x'"):
        redirected("https://a.example/x", "http://a.example/x")

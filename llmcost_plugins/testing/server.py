"""The HTTP side of the simulated provider: sockets, threads, delays and disconnections."""

import contextlib
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from llmcost_plugins.testing.billing import Invoice, Outcome, TokenCounts
from llmcost_plugins.testing.dialects.base import JsonObject, encode_json
from llmcost_plugins.testing.exchange import Desk, Exchange

_HOST = "127.0.0.1"
_BACKLOG = 1024
_FOREVER = 1e6
_JOIN_SECONDS = 5.0
_EVENT_STREAM = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class ProviderServer(ThreadingHTTPServer):
    """A server on a free port of the loopback interface, one thread for each connection."""

    daemon_threads = True
    request_queue_size = _BACKLOG

    def __init__(self, desk: Desk, invoice: Invoice) -> None:
        super().__init__((_HOST, 0), _Handler)
        self.desk = desk
        self.invoice = invoice
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._workers: list[threading.Thread] = []
        self._acceptor = threading.Thread(
            target=self.serve_forever, name="simulated-provider", daemon=True
        )

    def start(self) -> None:
        """Begin to accept connections."""
        self._acceptor.start()

    def stop(self) -> None:
        """Close every connection, whatever it is doing, and end every thread."""
        self.stopping.set()
        # A connection wakes the acceptor on every platform; closing its socket does not.
        with contextlib.suppress(OSError):
            socket.create_connection((_HOST, self.server_port), timeout=1).close()
        self._acceptor.join(_JOIN_SECONDS)
        self.server_close()
        with self._lock:
            connections, workers = list(self._open), self._workers
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for worker in workers:
            worker.join(_JOIN_SECONDS)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Accept until `stop`; unlike the inherited loop, without polling."""
        while True:
            try:
                connection, address = self.get_request()
            except OSError:
                if self.stopping.is_set():
                    return
                time.sleep(poll_interval / 100)
                continue
            if self.stopping.is_set():
                connection.close()
                return
            self.process_request(connection, address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread that `stop` can find."""
        worker = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="simulated-provider-connection",
            daemon=True,
        )
        with self._lock:
            self._open.add(request)
            self._workers = [known for known in self._workers if known.is_alive()]
            # Started under the lock: a thread that is not alive yet would be dropped by the next.
            worker.start()
            self._workers.append(worker)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent when a client left, which tests make happen on purpose."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ProviderServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        desk, path = self.server.desk, urlsplit(self.path).path
        if path == "/v1/models":
            self._send(*desk.models(self._lower_headers()))
        else:
            self._send(*desk.unknown_path("GET", path))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = urlsplit(self.path).path
        self.server.invoice.open()
        exchange = None
        try:
            exchange = self.server.desk.decide(path, self._lower_headers(), raw)
        finally:
            if exchange is None:
                self.server.invoice.close(None)
        if exchange is None:
            self._send(*self.server.desk.unknown_path("POST", path))
        else:
            self._reply(exchange)

    def _reply(self, exchange: Exchange) -> None:
        """Send an answer, or as much of it as its behavior and its client allow.

        Each path bills before it sends its last byte, so that the client finds it billed.
        """
        invoice, answer, behavior = self.server.invoice, exchange.answer, exchange.behavior
        if behavior.hang:
            self._client_left(_FOREVER)
            self.close_connection = True
            invoice.close(exchange.bill("disconnected", TokenCounts()))
        elif behavior.delay and self._client_left(behavior.delay):
            self.close_connection = True
            used = answer.usage if answer.body is not None else answer.usage.after(0)
            invoice.close(exchange.bill("disconnected", used))
        elif answer.body is not None:
            ok = exchange.status == HTTPStatus.OK
            invoice.close(exchange.bill("complete" if ok else "error", answer.usage))
            self._send(exchange.status, answer.body, exchange.id)
        else:
            outcome, sent = self._send_events(exchange)
            used = answer.usage if outcome == "complete" else answer.usage.after(sent)
            invoice.close(exchange.bill(outcome, used))
            if outcome == "complete":
                ending = _chunk(answer.ending) if answer.ending else b""
                self.wfile.write(ending + _LAST_CHUNK)
            else:
                self.close_connection = True

    def _send_events(self, exchange: Exchange) -> tuple[Outcome, int]:
        """Send the events of a stream; return how that ended and how many tokens left."""
        behavior, sent, tokens = exchange.behavior, 0, 0
        try:
            self.wfile.write(_head(HTTPStatus.OK, _EVENT_STREAM, exchange.id))
            for event in exchange.answer.events:
                if sent == behavior.cut_after and (event.content or sent):
                    return "cut", tokens
                if event.content and self._client_left(behavior.chunk_delay):
                    return "disconnected", tokens
                self.wfile.write(_chunk(event.data))
                sent += event.content
                tokens += event.content * event.tokens
        except OSError:
            return "disconnected", tokens
        return "complete", tokens

    def _client_left(self, seconds: float) -> bool:
        """Wait this long; return at once, and true, when the client or `stop` disconnects."""
        try:
            self.connection.settimeout(min(seconds, _FOREVER))
            if not self.connection.recv(1, socket.MSG_PEEK):
                return True
            # A pipelined request hides the disconnection, so only the server can end the wait.
            return self.server.stopping.wait(seconds)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError:
            return True
        finally:
            self.connection.settimeout(None)

    def _send(self, status: int, body: JsonObject, request_id: str = "") -> None:
        data = encode_json(body)
        length = f"content-type: application/json\r\ncontent-length: {len(data)}\r\n"
        self.wfile.write(_head(status, length, request_id) + data)

    def _lower_headers(self) -> dict[str, str]:
        return {name.lower(): text for name, text in self.headers.items()}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited name
        """Log nothing: a test's output belongs to the test."""


def _head(status: int, headers: str, request_id: str) -> bytes:
    reason = responses.get(status, "Error")
    named = f"x-request-id: {request_id}\r\n" if request_id else ""
    return f"HTTP/1.1 {status} {reason}\r\n{headers}{named}\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)

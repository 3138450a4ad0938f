"""Watch what is being spent, when each budget runs out, and post what it reaches to a webhook."""

import json
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import CostCallbackHandler
from llmcost_plugins import CostTracker
from llmcost_plugins.alerts import signature
from llmcost_plugins.testing import SimulatedProvider

SECRET = "a-long-random-text-of-your-own"  # noqa: S105 - made up
received: list[str] = []


class Receiver(BaseHTTPRequestHandler):
    """The other side: checks the signature, and keeps what it is told."""

    def do_POST(self) -> None:
        """Take an alert."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        expected = signature(SECRET, self.headers["X-LLMCost-Timestamp"], body)
        assert self.headers["X-LLMCost-Signature"] == expected
        received.append(json.loads(body)["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Spend most of a budget while watching it."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker.from_env(
            ledger=f"sqlite:///{folder}/ledger.db",
            budgets="global=0.01/year",
            alert_webhook=f"http://127.0.0.1:{server.server_port}/",  # LLMCOST_ALERT_WEBHOOK
            alert_secret=SECRET,
            sinks=[],
        )
        model = ChatOpenAI(
            model="gpt-4o",
            base_url=provider.base_url,
            api_key=SecretStr("none"),
            max_completion_tokens=100,
        )
        handler = CostCallbackHandler(tracker, feature="explain")
        monitor = tracker.monitor(by=["feature", "model"])

        for snapshot in monitor.watch(interval=0.01):  # seconds; `awatch` on an event loop
            if any(outlook.spent * 10 > outlook.limit * 8 for outlook in snapshot.outlooks):
                break
            model.invoke("Explain recursion", {"callbacks": [handler]})

        for rate in snapshot.rates:
            print(f"{'/'.join(rate.group)}: {rate.calls} calls, {rate.per_hour} USD an hour")
        print(*snapshot.outlooks, sep="\n")
        tracker.close()  # sends what still waits
    server.shutdown()
    server.server_close()
    print(*received, sep="\n")
    assert any("reached 80%" in text for text in received)


if __name__ == "__main__":
    main()

"""A provider of LLM calls that runs on this machine and bills like a real one."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Self

from llmcost_plugins.testing.behavior import Behavior
from llmcost_plugins.testing.billing import BilledRequest, Invoice
from llmcost_plugins.testing.exchange import Desk
from llmcost_plugins.testing.pricelist import ModelPrice, PriceList
from llmcost_plugins.testing.scripts import Scripts
from llmcost_plugins.testing.server import ProviderServer


class SimulatedProvider:
    """An HTTP server on the loopback interface that speaks the protocols of providers.

    They are OpenAI's (chat completions, responses, embeddings), Anthropic's (messages), Google's
    (Gemini's generateContent) and Cohere's (rerank). Give `base_url` to clients of OpenAI,
    `root_url` to the others, and any API key. Every answer is deterministic; everything billed is
    in `requests` before the client has the end of its answer. How one request is answered is said,
    the first of these that is present, by its header `x-simulate: status=429;delay=0.1`, a suffix
    of its model name (`gpt-4o+status=429`), `behave`, or the defaults.

    `prices` adds models to the published price list or replaces theirs; a model without a price is
    answered with 404 and bills nothing. `clock` dates the answers. Thread-safe.
    """

    def __init__(
        self,
        *,
        prices: Mapping[str, ModelPrice] | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._scripts = Scripts()
        self._invoice = Invoice()
        self._desk = Desk(PriceList(prices), self._scripts, clock or _utc_now)
        self._server: ProviderServer | None = None

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> None:
        """Start to serve on a free port. Raises RuntimeError if already running."""
        if self._server is not None:
            msg = "the simulated provider is already running"
            raise RuntimeError(msg)
        self._server = ProviderServer(self._desk, self._invoice)
        self._server.start()

    def stop(self) -> None:
        """Disconnect every client and end every thread; what was billed stays readable."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def base_url(self) -> str:
        """The URL for clients of OpenAI, such as `http://127.0.0.1:40123/v1`.

        Raises RuntimeError if not running.
        """
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The URL for clients of the others, which add the version of the API themselves.

        Raises RuntimeError if not running.
        """
        if self._server is None:
            msg = "the simulated provider is not running; use it in a with statement"
            raise RuntimeError(msg)
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self) -> list[BilledRequest]:
        """What has been billed so far, errors included, in the order the requests ended."""
        return self._invoice.lines()

    @property
    def in_flight(self) -> int:
        """How many requests have arrived and are not answered yet; `requests` has the others."""
        return self._invoice.in_flight()

    @property
    def billed_nano(self) -> int:
        """The invoice in 1e-9 USD: each request rounded half-even, then summed."""
        return sum(line.cost_nano for line in self._invoice.lines())

    @property
    def billed_usd(self) -> Decimal:
        """The invoice in USD, to the nano-dollar."""
        # A literal, because arithmetic would round to the caller's decimal context.
        return Decimal(f"{self.billed_nano}E-9")

    def settled(self, timeout: float = 5.0) -> list[BilledRequest]:
        """Wait until every request that reached the server is billed, and return `requests`.

        Needed after a client has disconnected, which the server notices a moment later. Raises
        TimeoutError after `timeout` seconds.
        """
        return self._invoice.wait(timeout)

    def behave(self, model: str, behavior: Behavior, times: int | None = None) -> None:
        """Script the next `times` requests for `model`, or all of them; `"*"` is every model.

        Limited scripts are used up first, oldest first; then the latest unlimited one holds. A
        model's own scripts go before those of `"*"`. Raises ValueError for `times` below 1.
        """
        self._scripts.add(model, behavior, times)

    def reset(self) -> None:
        """Forget all scripts and all that was billed; requests in flight will still be billed."""
        self._scripts.clear()
        self._invoice.clear()


def _utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the default clock

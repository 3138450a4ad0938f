"""``llmcost demo``: the main job, end to end, on a simulated provider or on one real call."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, Final

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from llmcost_langchain.cache import CompletionCache
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_langchain.router import FallbackRouter
from llmcost_plugins.alerts import BudgetEvent
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.errors import BudgetExceeded, ConfigurationError, MissingExtra
from llmcost_plugins.money import format_usd, usd_to_nano
from llmcost_plugins.overview import overview
from llmcost_plugins.page import report_page, write_page
from llmcost_plugins.report_tables import report_table
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.reports import spend
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import budget_table
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.tracker import CostTracker

DEAR: Final = "gpt-4o"
CHEAP: Final = "gpt-4o-mini"
CHAT_BUDGET: Final = 0.05
BUDGETS: Final = f"global=1/day; feature:chat={CHAT_BUDGET}/day; feature:faq=0.05/day"
QUESTIONS: Final = (
    "How do I reset my password?",
    "Where do I see my invoices?",
    "Can I change my plan in mid-month?",
    "How do I invite a colleague?",
)
_RUNS_AT_MOST: Final = 100


def run(console: Console, live_model: str | None = None) -> int:
    """Show the main job; return 0 when the ledger agrees with the provider, else 1.

    Everything happens in a temporary folder that is removed at the end; a page with the report
    stays in the user's data folder, in place of that of an earlier run.

    Args:
        console: where to write.
        live_model: make one call to this real OpenAI model instead.

    Raises:
        MissingExtra: langchain-openai is not installed.
        ConfigurationError: *live_model* is given and ``OPENAI_API_KEY`` is not set.
    """
    with tempfile.TemporaryDirectory(prefix="llmcost-demo-") as folder:
        if live_model:
            return _live(console, Path(folder), live_model)
        with SimulatedProvider() as provider:
            return _Demo(console, Path(folder), provider).run()


class _Demo:
    """The parts of the demo, in order, on one ledger."""

    def __init__(self, console: Console, folder: Path, provider: SimulatedProvider) -> None:
        self._console = console
        self._folder = folder
        self._provider = provider
        self._told: list[BudgetEvent] = []

    def run(self) -> int:
        environment = {
            "LLMCOST_LEDGER": f"sqlite:///{self._folder / 'ledger.db'}",
            "LLMCOST_BUDGETS": BUDGETS,
            "LLMCOST_HOLD_WAIT": "0",
        }
        with _environment(environment):
            tracker = CostTracker.from_env(sinks=[self._told.append])
        with ExitStack() as stack:
            stack.callback(tracker.close)
            self._record(tracker)
            self._budgets(tracker)
            self._fall_back(tracker)
            self._cache(tracker)
            self._report(tracker)
            status = self._check(tracker)
            self._page(tracker)
            return status

    def _model(self, name: str, **options: Any) -> Any:
        chat_openai = _chat_openai()
        return chat_openai(
            model=name, base_url=self._provider.base_url, api_key="none", max_retries=0, **options
        )

    def _record(self, tracker: CostTracker) -> None:
        _heading(self._console, "1", "A chain with the handler: every call has its exact cost")
        self._provider.behave(
            DEAR, Behavior(prompt_tokens=1200, cached_tokens=1024, completion_tokens=80), times=1
        )
        handler = CostCallbackHandler(tracker, feature="summary")
        prompt = ChatPromptTemplate.from_template("Summarise for a colleague: {text}")
        chain: Runnable[Any, AIMessage] = prompt | self._model(DEAR, max_tokens=200)
        answer = chain.invoke(
            {"text": "the minutes of Monday"},
            {"callbacks": [handler], "metadata": {"user": "ada", "team": "support"}},
        )
        _show_call(self._console, answer, handler)

    def _budgets(self, tracker: CostTracker) -> None:
        _heading(self._console, "2", "Budgets from environment variables")
        self._console.print(f'LLMCOST_BUDGETS="{BUDGETS}"\n', style="cyan", highlight=False)
        self._console.print(budget_table(tracker.budgets()))

    def _fall_back(self, tracker: CostTracker) -> None:
        _heading(self._console, "3", "The router falls back in mid-chain, then refuses")
        self._console.print(
            f"Each run drafts an answer and reviews it: two calls on a FallbackRouter with {DEAR} "
            f"and {CHEAP}, under feature:chat=0.05/day.\n"
        )
        for model in (DEAR, CHEAP):
            self._provider.behave(model, Behavior(prompt_tokens=60, completion_tokens=240))
        router = FallbackRouter(
            models=[self._model(DEAR, max_tokens=256), self._model(CHEAP, max_tokens=256)],
            tracker=tracker,
        )
        served, refusal = self._until_refused(_Drafting(router), tracker)
        self._console.print()
        self._console.print(_runs_table(served))
        for event in self._told:
            self._console.print(f"told once: {event}", style="yellow", highlight=False)
        if refusal is not None:
            self._console.print(Panel(str(refusal), title="BudgetExceeded", border_style="red"))

    def _until_refused(
        self, drafting: "_Drafting", tracker: CostTracker
    ) -> tuple[list[tuple[str, ...]], BudgetExceeded | None]:
        handler = CostCallbackHandler(tracker, feature="chat")
        served: list[tuple[str, ...]] = []
        refusal = None
        columns = (TextColumn("Answering tickets, budget used"), BarColumn(), TaskProgressColumn())
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("", total=CHAT_BUDGET)
            while refusal is None and len(served) < _RUNS_AT_MOST:
                try:
                    served.append(drafting.answer(QUESTIONS[len(served) % 4], handler))
                except BudgetExceeded as error:
                    refusal = error
                progress.update(task, completed=float(handler.total))
        return served, refusal

    def _cache(self, tracker: CostTracker) -> None:
        _heading(self._console, "4", "The same prompts again: answered from disk, money saved")
        with_cache = CoreCache(self._folder / "completions", ttl=timedelta(days=1))
        cache = CompletionCache(with_cache)
        chain: Runnable[Any, str] = (
            ChatPromptTemplate.from_template("Answer from the handbook: {question}")
            | self._model(DEAR, max_tokens=300, cache=cache)
            | StrOutputParser()
        )
        for title in ("first time", "again"):
            handler = CostCallbackHandler(tracker, feature="faq")
            for question in QUESTIONS:
                chain.invoke({"question": question}, {"callbacks": [handler]})
            spent, saved = _money(handler.total), _money(handler.saved)
            self._console.print(f"{title:>10}: {handler.calls} calls, spent {spent}, saved {saved}")
        cache.close()

    def _report(self, tracker: CostTracker) -> None:
        _heading(self._console, "5", "Who spent what")
        for by in ("model", "feature"):
            report = CostReporter(tracker.ledger, UTC).report([by], "total", now=tracker.now())
            self._console.print(report_table(report, f"By {by}", UTC))

    def _check(self, tracker: CostTracker) -> int:
        _heading(self._console, "6", "The check: the ledger against the provider's own bill")
        recorded = usd_to_nano(spend(tracker.ledger, zone=UTC)[0].cost)
        billed = self._provider.billed_nano
        agrees = recorded == billed
        grid = Table.grid(padding=(0, 2))
        grid.add_row("recorded in the ledger", f"{recorded:,} nano-dollars")
        grid.add_row("billed by the provider", f"{billed:,} nano-dollars")
        self._console.print(grid)
        verdict = "equal to the nano-dollar" if agrees else f"they differ by {recorded - billed:,}"
        self._console.print(verdict, style="bold green" if agrees else "bold red")
        return 0 if agrees else 1

    def _page(self, tracker: CostTracker) -> None:
        _heading(self._console, "7", "The same as a page, to open in a browser")
        now = tracker.now()
        reporter = CostReporter(tracker.ledger, UTC)
        # By hours: the demo may run over midnight, but not for a day.
        report = reporter.between(now - timedelta(hours=8), None, now=now)
        page = report_page(overview(reporter, report, now=now, budgets=tracker.budgets()))
        path = Settings.from_env().demo_page
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_page(path, page)
        except (OSError, ConfigurationError) as error:
            self._console.print(f"not written: {error}", markup=False)
            return
        # In one line, so that it can be copied, or opened where the terminal knows links.
        self._console.print(path.as_uri(), soft_wrap=True, highlight=False, markup=False)


@dataclass(frozen=True, slots=True)
class _Drafting:
    """A chain of two steps on one router: draft, then review."""

    router: FallbackRouter

    def answer(self, question: str, handler: CostCallbackHandler) -> tuple[str, ...]:
        """Run the chain; return the models that served its steps."""
        served: list[str] = []

        def note(message: AIMessage) -> str:
            served.append(str(message.response_metadata["llmcost"]["model"]))
            return str(message.content)

        draft = ChatPromptTemplate.from_template("Draft an answer: {question}")
        review = ChatPromptTemplate.from_template("Review this draft: {draft}")
        chain: Runnable[Any, Any] = (
            draft | self.router | note | {"draft": lambda text: text} | review | self.router | note
        )
        chain.invoke({"question": question}, {"callbacks": [handler]})
        return tuple(served)


def _runs_table(served: list[tuple[str, ...]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("Draft")
    table.add_column("Review")
    table.add_column("Runs", justify="right")
    table.add_column("")
    for (draft, review), count in Counter(served).items():
        note = "fell back in mid-chain" if draft != review else ""
        table.add_row(draft, review, str(count), note)
    return table


def _live(console: Console, folder: Path, model: str) -> int:
    if not os.environ.get("OPENAI_API_KEY"):  # noqa: TID251 - the provider's variable, not ours
        msg = "OPENAI_API_KEY is not set; `llmcost demo` without --live needs no key"
        raise ConfigurationError(msg)
    with ExitStack() as stack:
        tracker = CostTracker.from_env(ledger=f"sqlite:///{folder / 'ledger.db'}")
        stack.callback(tracker.close)
        handler = CostCallbackHandler(tracker, feature="demo")
        _heading(console, "1", f"One real call to {model}")
        chain = ChatPromptTemplate.from_template("{text}") | _chat_openai()(
            model=model, max_tokens=100
        )
        answer = chain.invoke({"text": "Say hello in one line."}, {"callbacks": [handler]})
        _show_call(console, answer, handler)
    return 0


def _show_call(console: Console, answer: AIMessage, handler: CostCallbackHandler) -> None:
    usage = answer.usage_metadata
    grid = Table.grid(padding=(0, 2))
    grid.add_row("answer", str(answer.content)[:60])
    if usage:
        cached = (usage.get("input_token_details") or {}).get("cache_read", 0)
        grid.add_row("tokens in", f"{usage['input_tokens']:,}, {cached:,} of them cached")
        grid.add_row("tokens out", f"{usage['output_tokens']:,}")
    grid.add_row("cost", f"{handler.total.normalize():f} USD")
    console.print(grid)


def _heading(console: Console, number: str, title: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {title}", align="left")


def _money(amount: Any) -> str:
    return format_usd(usd_to_nano(amount))


def _chat_openai() -> Any:
    try:
        from langchain_openai import ChatOpenAI
    except ImportError as error:
        raise MissingExtra.of("demo", "langchain-openai") from error  # noqa: EM101 - names
    return ChatOpenAI


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables as a user would, and put back what was there."""
    environment = os.environ  # noqa: TID251 - shows what a user's shell does
    former = {name: environment.get(name) for name in values}
    environment.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value

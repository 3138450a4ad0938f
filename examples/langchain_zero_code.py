"""One import and LLMCOST_ENABLED=true: every model call of the process is recorded."""

import os
import tempfile
from datetime import UTC

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

import llmcost_langchain  # noqa: F401 - the import is what attaches
from llmcost_plugins import default_tracker
from llmcost_plugins.reports import spend
from llmcost_plugins.testing import SimulatedProvider


def main() -> None:
    """Call a model without mentioning us anywhere near the call."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        # A deployment would set these outside the process.
        os.environ["LLMCOST_ENABLED"] = "true"
        os.environ["LLMCOST_LEDGER"] = f"sqlite:///{folder}/ledger.db"
        os.environ["LLMCOST_BUDGETS"] = "global=5/day"

        ChatOpenAI(
            model="gpt-4o-mini", base_url=provider.base_url, api_key=SecretStr("none")
        ).invoke("hello")

        tracker = default_tracker()
        for row in spend(tracker.ledger, ["model"], zone=UTC):
            print(f"{row.group[0]}: {row.calls} call, {row.cost} USD")
            assert row.cost == provider.billed_usd
        tracker.close()


if __name__ == "__main__":
    main()

"""Tools for the tests of programs that spend money on LLM calls.

`SimulatedProvider` is a local HTTP server that speaks OpenAI's protocol, misbehaves on demand and
knows exactly what it would have billed. `FakeClock` is a clock that moves only when told to.
"""

from llmcost_plugins.testing.behavior import Behavior
from llmcost_plugins.testing.billing import BilledRequest
from llmcost_plugins.testing.clock import FakeClock
from llmcost_plugins.testing.pricelist import ModelPrice
from llmcost_plugins.testing.provider import SimulatedProvider

__all__ = ["Behavior", "BilledRequest", "FakeClock", "ModelPrice", "SimulatedProvider"]

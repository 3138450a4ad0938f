"""The token optimizer: a shorter prompt that says the same, and what that saves.

It works only where it is asked to. `TokenOptimizer` takes texts and the messages of OpenAI's and
Anthropic's clients; the adapters of LangChain and LlamaIndex do the same to theirs.
"""

from llmcost_plugins.optimize.optimizer import Optimized, TokenOptimizer
from llmcost_plugins.optimize.saving import Saving, Tally

__all__ = ["Optimized", "Saving", "Tally", "TokenOptimizer"]

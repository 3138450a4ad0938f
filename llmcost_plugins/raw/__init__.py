"""Calls made with the clients of providers themselves, without a framework.

No client is imported: requests are read from the arguments that OpenAI's, Anthropic's and LiteLLM's
functions share, answers by the names of their fields.
"""

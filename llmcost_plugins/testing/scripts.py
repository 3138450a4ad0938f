"""Behaviors that a test has scripted in advance."""

import threading
from dataclasses import dataclass

from llmcost_plugins.testing.behavior import Behavior

EVERY_MODEL = "*"


@dataclass(slots=True)
class _Script:
    model: str
    behavior: Behavior
    left: int | None


class Scripts:
    """Scripted behaviors by model. Thread-safe: each limited script is used exactly `times` times.

    Limited scripts go first, oldest first; then the latest unlimited one. Within each, a model's
    own scripts go before those for `"*"`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limited: list[_Script] = []
        self._unlimited: dict[str, _Script] = {}

    def add(self, model: str, behavior: Behavior, times: int | None) -> None:
        """Script the next `times` requests of a model, None for all; ValueError below 1."""
        if times is not None and times < 1:
            msg = f"times={times!r} must be at least 1, or None for every request"
            raise ValueError(msg)
        script = _Script(model, behavior, times)
        with self._lock:
            if times is None:
                self._unlimited[model] = script
            else:
                self._limited.append(script)

    def take(self, model: str) -> Behavior | None:
        """Use up one script for a request of `model`; None when nothing is scripted."""
        with self._lock:
            for name in (model, EVERY_MODEL):
                for script in self._limited:
                    if script.model == name:
                        return self._use(script)
            found = self._unlimited.get(model) or self._unlimited.get(EVERY_MODEL)
            return found.behavior if found else None

    def clear(self) -> None:
        """Forget all scripts."""
        with self._lock:
            self._limited.clear()
            self._unlimited.clear()

    def _use(self, script: _Script) -> Behavior:
        if script.left is not None:
            script.left -= 1
            if script.left == 0:
                # By identity: two equal scripts are two scripts.
                self._limited = [other for other in self._limited if other is not script]
        return script.behavior

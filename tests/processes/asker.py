"""Asks a provider by way of one completion cache, from several threads; started by tests.

Prints a line ``lead N`` before each call that it makes for the prompt N, ``kept N`` once the answer
is stored, and ``done HITS`` at the end. A wrong answer is an error.
"""

import json
import random
import sys
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llmcost_plugins.cache import CachedAnswer, CompletionCache
from llmcost_plugins.cache.visits import run
from llmcost_plugins.labels import Labels
from llmcost_plugins.usage import Usage


def now() -> datetime:
    return datetime.now(UTC)


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def ask(url: str, number: int) -> str:
    body = {
        "model": "gpt-4o",
        "user": str(number),
        "max_tokens": 20,
        "messages": [{"role": "user", "content": f"prompt {number}"}],
    }
    request = urllib.request.Request(  # noqa: S310 - the simulated provider
        f"{url}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer none"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - likewise
        return str(json.loads(answer.read())["choices"][0]["message"]["content"])


def work(cache: CompletionCache, plan: dict[str, Any], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(plan["requests"]):
        number = chance.randrange(plan["prompts"])
        key = cache.key({"prompt": number}, Labels())
        with run(cache.visit(key, now)) as visit:
            if visit.found is None:
                tell(f"lead {number}")
                answer = {"number": number, "text": ask(plan["provider"], number)}
                entry = CachedAnswer(answer=answer, at=now(), usage=Usage(input=5, output=5))
                visit.keep(entry, Labels())
                tell(f"kept {number}")
            else:
                assert visit.found.answer["number"] == number
                assert visit.found.answer["text"]


def main() -> None:
    plan = json.loads(sys.argv[1])
    cache = CompletionCache(Path(plan["folder"]), ttl=timedelta(days=1))
    seeds = range(plan["seed"], plan["seed"] + plan["threads"])
    threads = [threading.Thread(target=work, args=(cache, plan, seed)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = cache.counts
    assert counts.failed == counts.rejected == 0, counts
    tell(f"done {counts.hits}")
    cache.close()


if __name__ == "__main__":
    main()

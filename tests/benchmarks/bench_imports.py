"""What importing us costs beyond the framework: time and memory of fresh processes (Linux)."""

import statistics
import subprocess
import sys

RUNS = 7
PROBE = """
import re, time
def rss():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
{base}
memory, start = rss(), time.perf_counter()
{ours}
print((time.perf_counter() - start) * 1e3, rss() - memory)
"""


def _measure(base: str, ours: str) -> tuple[float, float]:
    code = PROBE.format(base=base, ours=ours)
    lines = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(RUNS)
    ]
    figures = [tuple(map(float, line.stdout.split())) for line in lines]
    return statistics.median(t for t, _ in figures), statistics.median(m for _, m in figures)


def _tell(what: str, base: str, ours: str, target: str) -> None:
    milliseconds, megabytes = _measure(base, ours)
    print(f"\n{what}: {milliseconds:.0f} ms, {megabytes:.1f} MB; target {target}")


def test_import_of_the_handler() -> None:
    ours, target = "import llmcost_langchain", "60 ms, 10 MB"
    _tell(
        f"{ours} beyond langchain_core.callbacks", "import langchain_core.callbacks", ours, target
    )
    # Where the configure hook is registered; the first call of any chain loads it anyway.
    tracing = "langchain_core.tracers.context"
    _tell(f"{ours} beyond {tracing}", f"import {tracing}", ours, target)


def test_import_of_the_router() -> None:
    ours = "from llmcost_langchain import FallbackRouter"
    base = "import langchain_core.language_models.chat_models"
    _tell(f"{ours} beyond {base}", base, ours, "100 ms")
    base = f"{base}, langchain_core.tracers.context, langchain_core.utils.function_calling"
    _tell(f"{ours} beyond {base}", base, ours, "100 ms")


def test_import_of_the_recorder_of_llamaindex() -> None:
    base, ours = "import llama_index_instrumentation", "import llmcost_llamaindex"
    _tell(f"{ours} beyond {base}", base, ours, "60 ms, 10 MB")
    # What `install` needs of the framework, which the first call of any model loads anyway.
    base, ours = "import llama_index.core", "from llmcost_llamaindex import install"
    _tell(f"{ours} beyond {base}", base, ours, "60 ms, 10 MB")
    ours = "from llmcost_llamaindex import FallbackRouter"
    _tell(f"{ours} beyond {base}", base, ours, "100 ms")


def test_import_of_the_core() -> None:
    _tell("import llmcost_plugins in a bare Python", "pass", "import llmcost_plugins", "light")

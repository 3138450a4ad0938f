"""What importing us costs beyond the framework: time and memory of fresh processes."""

import statistics
import subprocess
import sys

RUNS = 7
PROBE = (
    "import resource, sys, time; {base}; t = time.perf_counter(); "
    "m = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; {ours}; "
    "print((time.perf_counter() - t) * 1e3, "
    "(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - m) / 1024)"
)


def _measure(base: str, ours: str) -> tuple[float, float]:
    code = PROBE.format(base=base, ours=ours)
    lines = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(RUNS)
    ]
    figures = [tuple(map(float, line.stdout.split())) for line in lines]
    return statistics.median(t for t, _ in figures), statistics.median(m for _, m in figures)


def test_import_of_the_handler() -> None:
    milliseconds, megabytes = _measure(
        "import langchain_core.callbacks", "import llmcost_langchain"
    )
    print(
        f"\nimport llmcost_langchain beyond langchain_core.callbacks: {milliseconds:.0f} ms, "
        f"{megabytes:.1f} MB; target 60 ms, 10 MB"
    )


def test_import_of_the_router() -> None:
    milliseconds, megabytes = _measure(
        "import langchain_core.language_models", "from llmcost_langchain import FallbackRouter"
    )
    print(
        f"\nimport of FallbackRouter beyond langchain_core.language_models: {milliseconds:.0f} ms, "
        f"{megabytes:.1f} MB; target 100 ms"
    )


def test_import_of_the_core() -> None:
    milliseconds, megabytes = _measure("pass", "import llmcost_plugins")
    print(f"\nimport llmcost_plugins in a bare Python: {milliseconds:.0f} ms, {megabytes:.1f} MB")

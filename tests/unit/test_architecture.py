import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ADAPTERS = ["llmcost_langchain", "llmcost_llamaindex"]
if find_spec("litellm"):  # it refuses the oldest versions of our dependencies
    ADAPTERS.append("llmcost_litellm")

# Runs in a process of its own and prints what importing the module named by argv[1] did.
PROBE = """
import json, os, sys, threading

effects = []

def note(event, args):
    if event == "open":
        _, mode, flags = args
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        if flags & writes and args[0] != os.devnull:
            effects.append(f"open {args[0]!r}")
    elif event in {"os.mkdir", "sqlite3.connect", "socket.connect", "subprocess.Popen"}:
        effects.append(f"{event} {args[0]!r}")

sys.addaudithook(note)
__import__(sys.argv[1])
print(json.dumps({
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "effects": effects,
    "threads": threading.active_count(),
}))
"""


def package_folder(package: str) -> Path:
    # The installed package, not a path in this tree: the suite also runs on the built wheel.
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def names_imported_from_the_core(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_core(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and is_core(node.module):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_core(module: str) -> bool:
    return module.partition(".")[0] == "llmcost_plugins"


def import_in_a_new_process(module: str, home: Path) -> dict[str, object]:
    result = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", PROBE, module],
        cwd=home,
        env={**os.environ, "LLMCOST_ENABLED": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    done: dict[str, object] = json.loads(result.stdout)
    return done


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_import_only_public_names_of_the_core(adapter: str) -> None:
    private = [
        f"{path.name}: {name}"
        for path in package_folder(adapter).rglob("*.py")
        for name in names_imported_from_the_core(path.read_text(encoding="utf-8"))
        if any(part.startswith("_") and not part.endswith("__") for part in name.split("."))
    ]
    assert private == []


@pytest.mark.parametrize("module", ["llmcost_plugins", *ADAPTERS])
def test_an_import_opens_nothing_and_starts_nothing(module: str, own_home: Path) -> None:
    done = import_in_a_new_process(module, own_home)
    assert done["effects"] == []
    assert done["threads"] == 1
    assert list(own_home.iterdir()) == []


@pytest.mark.parametrize("module", ["llmcost_plugins", *ADAPTERS])
@pytest.mark.parametrize(
    "heavy",
    [
        "litellm",
        "diskcache",
        "pydantic_settings",
        "llmcost_plugins.ledger",
        "llmcost_plugins.pricing",
    ],
)
def test_an_import_leaves_what_is_heavy_for_first_use(
    module: str, heavy: str, own_home: Path
) -> None:
    modules = import_in_a_new_process(module, own_home)["modules"]
    assert isinstance(modules, list)
    assert heavy not in modules


def test_the_langchain_adapter_is_imported_without_its_agents(own_home: Path) -> None:
    modules = import_in_a_new_process("llmcost_langchain", own_home)["modules"]
    assert isinstance(modules, list)
    assert {"langchain", "langgraph"}.isdisjoint(modules)


def test_the_core_is_imported_without_any_framework(own_home: Path) -> None:
    modules = import_in_a_new_process("llmcost_plugins", own_home)["modules"]
    assert isinstance(modules, list)
    frameworks = {"langchain", "langchain_core", "langgraph", "llama_index", "litellm", "openai"}
    assert frameworks.isdisjoint(modules)


@pytest.mark.parametrize("form", ["table", "json", "csv", "md"])
def test_a_report_imports_neither_frameworks_nor_what_other_commands_need(
    form: str, own_home: Path
) -> None:
    script = f"""
import json, sys
from llmcost_plugins.cli import main
assert main(["report", "--format", {form!r}]) == 0
print()
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        cwd=own_home,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert {name.partition(".")[0] for name in modules}.isdisjoint(
        {
            "langchain_core",
            "langchain",
            "langgraph",
            "llama_index",
            "litellm",
            "openai",
            "diskcache",
        }
    )
    assert modules.isdisjoint(
        f"llmcost_plugins.{name}" for name in ("tracker", "alerts", "monitor", "cache", "testing")
    )
    assert modules.isdisjoint(f"llmcost_plugins.cli.{name}" for name in ("prices", "alerts"))
    assert modules.isdisjoint({"urllib.request", "rich.progress"})
    assert list(own_home.iterdir()) == []


@pytest.mark.parametrize("package", ["llmcost_plugins", *ADAPTERS])
def test_every_package_is_typed(package: str) -> None:
    assert (package_folder(package) / "py.typed").is_file()


@pytest.mark.parametrize(
    ("adapter", "framework", "extra"),
    [
        ("llmcost_langchain", "langchain_core", "langchain"),
        ("llmcost_llamaindex", "llama_index", "llamaindex"),
        ("llmcost_litellm", "litellm", "litellm"),
    ],
)
def test_an_adapter_without_its_framework_says_what_to_install(
    adapter: str, framework: str, extra: str
) -> None:
    # A path finder that knows everything but the framework, as in an environment without it.
    script = f"""
import importlib.machinery, sys
find = importlib.machinery.PathFinder.find_spec
class WithoutFramework:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.startswith({framework!r}) else find(name, path, target)
sys.meta_path = [f for f in sys.meta_path if f is not importlib.machinery.PathFinder]
sys.meta_path.append(WithoutFramework)
try:
    import {adapter}
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("MissingExtra")
    assert f"pip install 'llmcost-plugins[{extra}]'" in done.stdout

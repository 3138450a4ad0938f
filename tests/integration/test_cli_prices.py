"""``llmcost prices`` as a user runs it: a process of its own, real files, a real server."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins import CostTracker, Usage
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.policy import parse_unknown_model
from llmcost_plugins.pricing.sources import packaged_snapshot
from tests.support import run_python

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SNAPSHOT = packaged_snapshot()
EXAMPLE = Path(__file__).parents[2] / "examples" / "prices.toml"
BASE = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 4e-06,
}


@pytest.fixture
def prices(tmp_path: Path, own_home: Path) -> Run:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        assert own_home.is_dir()
        # The developer's litellm may be newer than the snapshot; a stub hides it.
        code = (
            "import sys, types; sys.modules['litellm'] = types.ModuleType('litellm');"
            "from llmcost_plugins.cli import main; raise SystemExit(main())"
        )
        return run_python(
            tmp_path,
            "-c",
            code,
            "prices",
            *arguments,
            **{"COLUMNS": "80", "no_proxy": "127.0.0.1", **environment},
        )

    return run


@pytest.fixture
def current() -> dict[str, Any]:
    """Give all models of the snapshot that are not retired, as a map of LiteLLM."""
    models = PriceMap.of(SNAPSHOT.models)
    return {name: dict(models[name]) for name in models.current()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, dict[str, Any]], Path]:
    def write(name: str, models: dict[str, Any]) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(models))
        return path

    return write


@pytest.fixture
def stored(
    prices: Run, write: Callable[..., Path], current: dict[str, Any], own_home: Path
) -> Path:
    """Take a good map into use; return where it is stored."""
    assert prices("update", "--file", str(write("good.json", current))).returncode == 0
    (path,) = own_home.rglob("*.gz")
    return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


def test_show_has_each_meter_with_its_price_and_when_it_holds(prices: Run) -> None:
    done = prices("show", "gpt-6-astra")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "gpt-6-astra (openai)",
        "Limits 922,000 tokens in, 128,000 tokens out",
        "Multipliers x 1.1 in region eu; x 1.1 in region us; x 1.1 in FedRAMP",
        "input $10.00 / M tokens",
        "cache_write_12h $25.00 / M tokens",
        "web_search $0.01 / search",
        "output $75.00 / M tokens prompt > 272,000",
        "output $25.00 / M tokens batch",
        "input $40.00 / M tokens priority, prompt > 272,000",
        f"Fingerprint {SNAPSHOT.fingerprint}",
    ):
        assert line in lines
    assert "web_search_high" not in done.stdout  # it costs what any search does
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_show_tells_off_peak_hours_retirement_and_remarks(prices: Run) -> None:
    flash = prices("show", "deepseek/deepseek-v4-pro").stdout
    assert "00:00-01:00, 04:00-06:00, 10:00-00:00 UTC, Mon-Fri" in flash
    assert "$0.66 / M tokens  off-peak" in flash
    retired = " ".join(prices("show", "claude-3-opus-20240229").stdout.split())
    assert "newer maps lack it; the prices are those of litellm 1.100.0" in retired
    assert "Once a call web_search" in " ".join(
        prices("show", "gemini/gemini-2.5-flash").stdout.split()
    )


def test_show_as_json_has_money_as_decimal_strings(prices: Run) -> None:
    done = prices("show", "gpt-4o-2099-01-31", "--provider", "openai", "--format", "json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["name"] == "gpt-4o-2099-01-31"
    assert (shown["model"], shown["provider"], shown["match"]) == ("gpt-4o", "openai", "stripped")
    assert shown["max_input_tokens"] == 128_000
    assert shown["multipliers"] == {"fedramp": "1.1"}
    assert shown["fingerprint"] == SNAPSHOT.fingerprint
    assert shown["sources"] == [
        {
            "name": "snapshot of litellm 1.110.2 in the package",
            "version": "1.110.2",
            "date": "2026-11-24",
            "fingerprint": SNAPSHOT.fingerprint,
        }
    ]
    assert shown["prices"][0] == {
        "model": "gpt-4o",
        "meter": "input",
        "usd": "0.0000025",
        "unit": "token",
        "tier": "",
        "above_prompt_tokens": 0,
        "upto_prompt_tokens": None,
        "off_peak": False,
        "valid_from": None,
        "valid_until": None,
    }
    assert {"rule", "candidates", "alias_of", "retired", "remarks", "once_a_call"} <= shown.keys()


def test_show_as_csv_has_a_row_for_each_price(prices: Run) -> None:
    done = prices("show", "whisper-1", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["meter"], row["usd"], row["unit"]) for row in rows] == [
        ("ms_in", "0.0001", "second"),
        ("ms_out", "0.0001", "second"),
    ]


def test_show_has_the_users_own_prices_by_the_time_they_hold(prices: Run) -> None:
    done = prices("show", "claude-sonnet-4-5", LLMCOST_PRICES=str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    assert "Prices until 2027-01-01" in done.stdout
    assert "Prices from 2027-01-01" in done.stdout
    assert done.stdout.count("(in force)") == 1
    assert "own prices in" in done.stdout
    alias = prices("show", "azure/my-deployment", "--format", "json", LLMCOST_PRICES=str(EXAMPLE))
    assert json.loads(alias.stdout)["prices"][0]["usd"] == "0.0000025"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gtp-4o-mini",), "no price is known for 'gtp-4o-mini'"),
        (("gtp-4o-mini",), "did you mean 'gpt-4o-mini'"),
        (("snowflake/llama3-8b",), "the price map has no price for it\n"),
        (("llama-3.1-8b-instruct",), "hosts ask different prices for it"),
        (("llama-3.1-8b-instruct",), "did you mean "),
    ],
)
def test_show_of_a_model_without_a_price_is_a_finding(
    prices: Run, arguments: tuple[str, ...], says: str
) -> None:
    done = prices("show", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert says in done.stderr
    assert is_one_line(done.stderr)


def test_list_can_be_narrowed_by_provider_and_text(prices: Run) -> None:
    done = prices("list", "--provider", "openai", "--search", "GPT-4O", "--format", "json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {item["provider"] for item in listed} == {"openai"}
    assert all("gpt-4o" in item["model"] for item in listed)
    row = next(item for item in listed if item["model"] == "gpt-4o")
    assert row == {
        "model": "gpt-4o",
        "provider": "openai",
        "mode": "chat",
        "input_usd_per_token": "0.0000025",
        "output_usd_per_token": "0.00001",
        "max_input_tokens": 128_000,
        "max_output_tokens": 16_384,
        "retired": "",
        "reason": "",
    }
    table = prices("list", "--provider", "openai", "--search", "gpt-4o").stdout
    assert f"{len(listed)} models; input and output in USD per million tokens" in table
    assert "$2.50" in table


def test_list_has_retired_and_unpriced_models_only_when_asked(prices: Run) -> None:
    usual = json.loads(prices("list", "--search", "dall-e", "--format", "json").stdout)
    every = json.loads(prices("list", "--search", "dall-e", "--all", "--format", "json").stdout)
    assert {item["model"] for item in every} > {item["model"] for item in usual}
    assert not any(item["retired"] or item["reason"] for item in usual)
    assert any(item["retired"] for item in every)
    assert any(item["reason"] == "the price map says 0, which is not a price" for item in every)
    table = " ".join(prices("list", "--search", "dall-e", "--all").stdout.split())
    assert "$0.019 / M pixels" in table
    assert "retired after 1.100.0" in table
    assert "the price map says 0" in table


def test_list_of_nothing_says_so(prices: Run) -> None:
    done = prices("list", "--search", "xyzzy")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "the price map has no such model\n"
    done = prices("list", "--provider", "opnai")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no provider 'opnai'; did you mean 'openai'?" in done.stderr


def test_a_provider_that_is_none_is_told_of_beside_the_price_that_stands_in(prices: Run) -> None:
    done = prices("show", "gpt-4o", "--provider", "azur")
    assert "stand-in" in done.stdout
    assert done.stderr.startswith("the price map has no provider 'azur'; did you mean 'azure'")
    assert prices("show", "gpt-4o", "--provider", "azure").stderr == ""


def test_diff_of_equal_maps_is_empty(prices: Run, write: Callable[..., Path]) -> None:
    path = write("map.json", {"a": BASE})
    for form in ("table", "csv"):
        done = prices("diff", str(path), str(path), "--format", form)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "no price differs\n")
    done = prices("diff", str(path), str(path), "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert prices("diff", "snapshot", "snapshot").returncode == 0


def test_diff_tells_what_was_added_removed_and_changed(
    prices: Run, write: Callable[..., Path]
) -> None:
    old = write("old.json", {"a": BASE | {"cache_read_input_token_cost": 1e-06}, "gone": BASE})
    new = write(
        "new.json",
        {
            "a": BASE
            | {
                "input_cost_per_token": 3e-06,
                "output_cost_per_token_flex": 1e-06,
                "fedramp_uplift_multiplier": 1.1,
            },
            "new": BASE,
        },
    )
    done = prices("diff", str(old), str(new), "--format", "json")
    assert done.returncode == 1
    rows = [
        (row["model"], row["change"], row["meter"], row["old_usd"], row["new_usd"], row["percent"])
        for row in json.loads(done.stdout)
    ]
    assert rows == [
        ("new", "added", None, None, None, None),
        ("gone", "removed", None, None, None, None),
        ("a", "changed", "input", "0.000002", "0.000003", "50.0"),
        ("a", "changed", "cache_read", "0.000001", None, None),
        ("a", "changed", "output", None, "0.000001", None),
        ("a", "changed", "multiplier", None, "1.1", None),
    ]
    table = prices("diff", str(old), str(new))
    assert table.returncode == 1
    lines = [" ".join(line.split()) for line in table.stdout.splitlines()]
    for line in (
        "input $2.00 $3.00 M tokens +50.0 %",
        "cache_read $1.00 - M tokens gone",
        "output, flex - $1.00 M tokens new",
        "1 models added",
        "1 models removed",
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("installed", "no litellm is installed whose price map can be read"),
        ("fetched", "no price map was fetched yet; run 'llmcost prices update'"),
        ("none.json", "'none.json' is no price map of LiteLLM"),
        ("broken.json", "'broken.json' is no price map of LiteLLM"),
    ],
)
def test_diff_with_a_map_that_is_not_there_is_wrong_use(
    prices: Run, tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / "broken.json").write_text("{")
    done = prices("diff", "snapshot", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert is_one_line(done.stderr)


def test_diff_knows_an_installed_litellm_by_its_file(tmp_path: Path, own_home: Path) -> None:
    package = tmp_path / "site" / "litellm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    name = "model_prices_and_context_window_backup.json"
    (package / name).write_text(json.dumps({"a": BASE}))
    assert own_home.is_dir()
    done = subprocess.run(
        [sys.executable, "-m", "llmcost_plugins", "prices", "diff", "installed", f"litellm/{name}"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path]),
        },
        cwd=package.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "no price differs\n")


def test_update_fetches_a_map_that_is_used_from_then_on(
    prices: Run, write: Callable[..., Path], current: dict[str, Any], served: str
) -> None:
    current["gpt-4o"]["input_cost_per_token"] = 3e-06
    del current["gpt-4o-mini"]
    write("map.json", current)
    done = prices("update", "--url", f"{served}/map.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # not a terminal: no progress bar
    assert f"{len(current):,} models from {served}/map.json" in done.stdout
    shown = json.loads(prices("show", "gpt-4o", "--format", "json").stdout)
    assert shown["prices"][0]["usd"] == "0.000003"
    assert [source["name"] for source in shown["sources"]] == [
        "snapshot of litellm 1.110.2 in the package",
        f"the map fetched from {served}/map.json",
    ]
    dropped = json.loads(prices("show", "gpt-4o-mini", "--format", "json").stdout)
    assert dropped["retired"] == "1.110.2"
    diff = prices("diff", "snapshot", "fetched", "--format", "json")
    assert [(row["model"], row["change"]) for row in json.loads(diff.stdout)] == [
        ("gpt-4o-mini", "removed"),
        ("gpt-4o", "changed"),
    ]


def test_update_refuses_a_jump_until_it_is_accepted(
    prices: Run, write: Callable[..., Path], current: dict[str, Any], own_home: Path
) -> None:
    current["gpt-4o"]["input_cost_per_token"] = 2.5e-05
    path = write("map.json", current)
    done = prices("update", "--file", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "gpt-4o: input from 0.0000025 to 0.000025 USD a token, 10.0 times" in done.stderr
    assert "--accept" in done.stderr
    assert list(own_home.rglob("*.gz")) == []
    assert prices("update", "--file", str(path), "--accept").returncode == 0
    shown = json.loads(prices("show", "gpt-4o", "--format", "json").stdout)
    assert shown["prices"][0]["usd"] == "0.000025"
    assert str(path) in shown["sources"][1]["name"]


def test_update_shows_the_twenty_worst(
    prices: Run, write: Callable[..., Path], current: dict[str, Any]
) -> None:
    for number in range(30):
        current[f"new-{number}"] = BASE | {"input_cost_per_token": 1.0}
    done = prices("update", "--file", str(write("map.json", current)))
    assert done.returncode == 1
    assert done.stderr.count("new-") == 20
    assert "and 10 more" in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON object of models"),
        (json.dumps({"a": BASE}), "only 1 of its models have a price; at least 1,000 must"),
        (json.dumps({"a": BASE}), "it has 1 models, less than half of the "),
    ],
)
def test_update_never_accepts_what_is_no_whole_map_and_leaves_the_old_one(
    prices: Run, stored: Path, tmp_path: Path, content: str, says: str
) -> None:
    before = stored.read_bytes()
    path = tmp_path / "bad.json"
    path.write_text(content)
    done = prices("update", "--file", str(path), "--accept")
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "not used" in done.stderr
    assert stored.read_bytes() == before


def test_update_says_what_to_do_when_nothing_can_be_fetched(prices: Run, served: str) -> None:
    for url in (f"{served}/none.json", "http://127.0.0.1:1/x", "file:///etc/hostname"):
        done = prices("update", "--url", url)
        assert (done.returncode, done.stdout) == (2, "")
        assert repr(url) in done.stderr
        assert is_one_line(done.stderr)
    assert prices("update", "--file", "none.json").returncode == 2


def test_update_mends_a_broken_file(prices: Run, stored: Path, tmp_path: Path) -> None:
    stored.write_bytes(b"junk")
    done = prices("show", "gpt-4o")
    assert (done.returncode, done.stdout) == (2, "")
    assert str(stored) in done.stderr
    assert "'llmcost prices update'" in done.stderr
    done = prices("update", "--file", str(tmp_path / "good.json"))
    assert done.returncode == 0
    assert "cannot be read" in done.stderr
    assert prices("show", "gpt-4o").returncode == 0


def test_update_draws_a_progress_bar_on_a_terminal_only(
    prices: Run, write: Callable[..., Path], current: dict[str, Any], served: str
) -> None:
    write("map.json", current)
    drawn = prices("update", "--url", f"{served}/map.json", FORCE_COLOR="1")
    assert drawn.returncode == 0
    assert "fetching prices" in drawn.stderr
    assert "fetching prices" not in drawn.stdout


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[str]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    tracker = CostTracker.from_env(ledger=url, unknown_model=parse_unknown_model("free"))
    size = CallSize(prompt_bound=1000, output_cap=100)
    for number, (model, provider) in enumerate(
        [("gpt-99", "openai"), ("gpt-99", "openai"), ("house", None), ("gpt-4o", "openai")]
    ):
        call = tracker.start(CallSpec(f"c{number}", model, provider, size))
        call.finish(Usage(input=1000, output=100))
    yield url
    tracker.close()


def test_check_finds_models_of_the_ledger_without_a_price(prices: Run, ledger: str) -> None:
    done = prices("check", "--format", "json", LLMCOST_LEDGER=ledger)
    assert done.returncode == 1, done.stderr
    findings = json.loads(done.stdout)
    assert [(f["model"], f["provider"], f["calls"], f["kind"]) for f in findings] == [
        ("gpt-99", "openai", 2, "unpriced"),
        ("house", "unknown", 1, "unpriced"),
    ]
    assert {f["reason"] for f in findings} == {"it is not in the price map"}
    assert "gpt-99" in prices("check", LLMCOST_LEDGER=ledger).stdout


def test_check_is_content_when_the_users_file_prices_them(
    prices: Run, ledger: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    both = "{input_cost_per_token = 0.000001, output_cost_per_token = 0.000002}"
    own.write_text(f'"gpt-99" = {both}\n"house" = {both}')
    done = prices("check", LLMCOST_LEDGER=ledger, LLMCOST_PRICES=str(own))
    assert (done.returncode, done.stdout) == (0, "")
    assert "look right" in done.stderr


def test_check_finds_prices_that_look_wrong(prices: Run, ledger: str, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    swapped = "{input_cost_per_token = 0.000002, output_cost_per_token = 0.000001}"
    own.write_text(f'"gpt-99" = {swapped}\n"house" = {{alias = "gpt-4o"}}')
    done = prices("check", "--format", "csv", LLMCOST_LEDGER=ledger, LLMCOST_PRICES=str(own))
    assert done.returncode == 1
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["model"], row["kind"], row["calls"]) == ("gpt-99", "odd", "2")
    assert "swapped" in row["reason"]


def test_check_of_an_absent_ledger_says_so_and_makes_none(prices: Run, tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    done = prices("check", "--format", "json", LLMCOST_LEDGER=f"sqlite:///{path}")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert "nothing is recorded yet" in done.stderr
    assert not path.exists()


def test_a_bad_file_of_prices_is_one_line_with_file_model_and_remedy(
    prices: Run, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('"gpt-4o" = {discount = 15}')
    for arguments in (("show", "gpt-4o"), ("list",), ("check",)):
        done = prices(*arguments, LLMCOST_PRICES=str(own))
        assert (done.returncode, done.stdout) == (2, "")
        assert is_one_line(done.stderr)
        assert "own.toml', model 'gpt-4o': discount = 15 cannot be used" in done.stderr
    done = prices("show", "gpt-4o", LLMCOST_PRICES="none.toml")
    assert done.returncode == 2
    assert "LLMCOST_PRICES='none.toml' cannot be used: there is no such file" in done.stderr


def test_wrong_use_exits_with_2(prices: Run) -> None:
    for arguments in (("show",), ("diff", "snapshot"), ("show", "gpt-4o", "--format", "xml")):
        assert prices(*arguments).returncode == 2
    assert "show" in prices("--help").stdout

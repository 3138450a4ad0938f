import json
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing import Catalog, Prices, cost_of
from llmcost_plugins.pricing.loading import prices_in_force
from llmcost_plugins.pricing.sources import Source, packaged_snapshot
from llmcost_plugins.usage import Usage

MILLION = 10**18  # fine units of USD per token in one USD per million tokens
SNAPSHOT = packaged_snapshot()


def written(tmp_path: Path, text: str, suffix: str = ".toml") -> Path:
    path = tmp_path / f"own{suffix}"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(tmp_path: Path, text: str) -> Catalog:
    return Catalog(source(tmp_path, text))


def source(tmp_path: Path, text: str) -> Source:
    return prices_in_force(own=written(tmp_path, text))


def prices(catalog: Catalog, name: str) -> Prices:
    found = catalog.resolve(name).prices
    assert found is not None, catalog.resolve(name).reason
    return found


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        prices_in_force(own=path)
    message = str(caught.value)
    assert repr(str(path)) in message
    assert "\n" not in message
    return message


def test_a_stated_price_replaces_that_of_the_map_and_no_other(tmp_path: Path) -> None:
    catalog = loaded(tmp_path, '"gpt-4o" = {input_cost_per_token = 0.000002}')
    found = prices(catalog, "gpt-4o")
    assert found.rates["input", 0, ""] == 2 * MILLION
    assert found.rates["output", 0, ""] == 10 * MILLION
    assert found.max_input_tokens == 128_000
    assert prices(catalog, "gpt-4o-mini") == prices(Catalog(SNAPSHOT), "gpt-4o-mini")


def test_a_model_that_the_map_lacks_gets_its_provider_from_its_name(tmp_path: Path) -> None:
    both = "{input_cost_per_token = 0.000001, output_cost_per_token = 0.000002}"
    catalog = loaded(tmp_path, f'"azure/house" = {both}\n"house" = {both}')
    assert catalog.resolve("azure/house").provider == "azure"
    assert catalog.resolve("house", "azure").model == "azure/house"
    assert catalog.resolve("house").provider == "unknown"
    assert prices(catalog, "house").rates["output", 0, ""] == 2 * MILLION


def test_json_and_toml_say_the_same(tmp_path: Path) -> None:
    toml = written(
        tmp_path,
        '"gpt-4o" = {input_cost_per_token = 1e-6, valid_from = 2027-01-01}\n'
        '"house" = {alias = "gpt-4o"}\n"openai/*" = {discount = 0.05}',
    )
    as_json = written(
        tmp_path,
        json.dumps(
            {
                "gpt-4o": {"input_cost_per_token": 1e-6, "valid_from": "2027-01-01"},
                "house": {"alias": "gpt-4o"},
                "openai/*": {"discount": 0.05},
            }
        ),
        ".json",
    )
    one, other = prices_in_force(own=toml), prices_in_force(own=as_json)
    for name in ("gpt-4o", "gpt-4o-mini", "house"):
        assert prices(Catalog(one), name) == prices(Catalog(other), name)
    assert one.aliases == other.aliases == {"house": "gpt-4o"}


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_byte_order_mark_does_no_harm(tmp_path: Path, start: str) -> None:
    catalog = loaded(tmp_path, f'{start}"gpt-4o" = {{discount = 0.1}}')
    assert prices(catalog, "gpt-4o").rates["input", 0, ""] == 225 * MILLION // 100


def test_a_price_of_zero_that_the_user_states_is_a_price(tmp_path: Path) -> None:
    free = "{input_cost_per_token = 0, output_cost_per_token = 0}"
    catalog = loaded(tmp_path, f'"hosted_vllm/house" = {free}')
    found = prices(catalog, "hosted_vllm/house")
    assert cost_of(Usage(input=10**6, output=10**6), found).nano == 0


def test_a_price_beyond_the_ceilings_of_the_map_is_taken_from_the_user(tmp_path: Path) -> None:
    catalog = loaded(tmp_path, '"gpt-4o" = {output_cost_per_token = 0.009}')
    assert prices(catalog, "gpt-4o").rates["output", 0, ""] == 9000 * MILLION


def test_stated_prices_are_not_hidden_by_bands_of_the_map(tmp_path: Path) -> None:
    name = "dashscope/qwen-flash"
    assert prices(Catalog(SNAPSHOT), name).bands
    flat = "{input_cost_per_token = 0.000001, output_cost_per_token = 0.000002}"
    found = prices(loaded(tmp_path, f'"{name}" = {flat}'), name)
    assert found.bands == ()
    assert found.table(1000)["input"] == found.table(10**6)["input"] == MILLION
    kept = prices(loaded(tmp_path, f'"{name}" = {{discount = 0.5}}'), name)
    assert kept.table(1000)["input"] == 25 * MILLION // 1000
    assert kept.table(10**6)["input"] == 125 * MILLION // 1000


def test_bands_cheaper_hours_and_multipliers_can_be_stated(tmp_path: Path) -> None:
    text = """
["house/chat"]
supports_vision = true
max_input_tokens = 1000
web_search_billing_unit = "per_query"
search_context_cost_per_query = {search_context_size_medium = 0.01}
provider_specific_entry = {us = 1.1, fast = 2}
regional_endpoint_uplift_multiplier = 1.2
tiered_pricing = [
  {range = [0, 100], input_cost_per_token = 0.000001, output_cost_per_token = 0.000002},
  {range = [100, 1000], input_cost_per_token = 0.000003, output_cost_per_token = 0.000004},
]

["house/chat".off_peak_pricing]
input_cost_per_token = 0.0000005
weekday_timezone = "Asia/Shanghai"
windows = [
  {hours_utc = ["00:00-08:00", "22:30-00:00"], weekdays = [1, 5]},
  {hours_utc = "00:00-00:00", weekdays = [6, 7]},
]
"""
    found = prices(loaded(tmp_path, text), "house/chat")
    assert found.table(100)["input"] == MILLION
    assert found.table(101)["output"] == 4 * MILLION
    assert found.table(1)["web_search"] == 10**22
    assert found.uplifts == {"us": (11, 10), "fast": (2, 1), "*": (6, 5)}
    saturday = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert found.table(1, at=saturday)["input"] == MILLION // 2
    assert found.table(1, at=datetime(2026, 11, 24, 12, tzinfo=UTC))["input"] == MILLION


def test_prices_in_another_currency_are_converted_exactly(tmp_path: Path) -> None:
    text = """
["ernie-4.0"]
currency = "CNY"
usd_rate = 0.138888888888889
input_cost_per_token = 0.00003
output_cost_per_token = 0.00009
search_context_cost_per_query = {search_context_size_medium = 0.03}
tiered_pricing = [{range = [0, 9], input_cost_per_token = 0.00003, output_cost_per_token = 0.00009}]
"""
    with localcontext() as context:
        context.prec = 3  # the caller's own context changes nothing
        found = prices(loaded(tmp_path, text), "ernie-4.0")
    # 0.00003 x 0.138888888888889, to 12 significant digits
    assert found.rates["input", 0, ""] == 4_166_666_666_670_000_000
    assert found.rates["output", 0, ""] == 12_500_000_000_000_000_000
    assert found.rates["web_search", 0, ""] == 4_166_666_666_670_000_000_000
    assert found.bands[0].rates["input"] == 4_166_666_666_670_000_000


def test_a_currency_holds_for_what_the_entry_states_and_not_for_the_map(tmp_path: Path) -> None:
    text = '"gpt-4o" = {currency = "EUR", usd_rate = 1.1, input_cost_per_token = 0.000002}'
    found = prices(loaded(tmp_path, text), "gpt-4o")
    assert found.rates["input", 0, ""] == 22 * MILLION // 10
    assert found.rates["output", 0, ""] == 10 * MILLION


@pytest.mark.parametrize("rate", ["", ", usd_rate = 1", ", usd_rate = 1.0"])
def test_us_dollars_can_be_named_too(tmp_path: Path, rate: str) -> None:
    text = f'"gpt-4o" = {{currency = "USD"{rate}, input_cost_per_token = 0.000002}}'
    assert prices(loaded(tmp_path, text), "gpt-4o").rates["input", 0, ""] == 2 * MILLION


def test_a_discount_is_off_all_prices_of_the_model_those_of_the_map_included(
    tmp_path: Path,
) -> None:
    text = '"gpt-4o" = {discount = 0.15, input_cost_per_token = 0.000002}'
    listed = prices(Catalog(SNAPSHOT), "gpt-4o")
    found = prices(loaded(tmp_path, text), "gpt-4o")
    assert found.rates.keys() == listed.rates.keys()
    for key, rate in listed.rates.items():
        expected = 2 * MILLION if key == ("input", 0, "") else rate
        assert found.rates[key] * 100 == expected * 85
    assert found.uplifts == listed.uplifts


def test_the_float_noise_of_the_map_is_not_discounted_into_a_price(tmp_path: Path) -> None:
    noisy = 2.9999900000000002e-06
    model = next(
        name
        for name, entry in SNAPSHOT.models.items()
        if entry.get("input_cost_per_token") == noisy
    )
    found = prices(loaded(tmp_path, f'"{model}" = {{discount = 0.1}}'), model)
    assert found.rates["input", 0, ""] == 2_699_991_000_000_000_000


def test_a_discount_for_a_provider_spares_models_whose_price_is_stated(tmp_path: Path) -> None:
    catalog = loaded(
        tmp_path,
        """
        "openai/*" = {discount = 0.05}
        "gpt-4o" = {discount = 0.15}
        "gpt-4o-mini" = {input_cost_per_token = 0.0000001}
        "gpt-4-turbo" = {max_output_tokens = 1000}
        "gpt-3.5-turbo" = {discount = 0}
        "house" = {alias = "gpt-4.1"}
        """,
    )
    inputs = {
        name: Decimal(prices(catalog, name).rates["input", 0, ""]) / MILLION
        for name in (
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4-turbo",
            "gpt-3.5-turbo",
            "gpt-4.1",
            "house",
            "azure/gpt-4.1",
        )
    }
    assert inputs == {
        "gpt-4o": Decimal("2.125"),
        "gpt-4o-mini": Decimal("0.1"),
        "gpt-4-turbo": Decimal("9.5"),
        "gpt-3.5-turbo": Decimal("0.5"),
        "gpt-4.1": Decimal("1.9"),
        "house": Decimal("1.9"),
        "azure/gpt-4.1": Decimal(2),
    }


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4.1"),
        ("openai", "gpt-3.5-turbo-instruct"),  # labelled text-completion-openai
        ("OpenAI", "gpt-4.1"),
        ("amazon_bedrock", "us.anthropic.claude-opus-4-8"),
        ("google_vertexai", "vertex_ai/claude-opus-4-8"),
        ("together", "together_ai/openai/gpt-oss-120b"),
    ],
)
def test_a_provider_can_be_named_as_frameworks_do(
    tmp_path: Path, provider: str, model: str
) -> None:
    listed = prices(Catalog(SNAPSHOT), model)
    found = prices(loaded(tmp_path, f'"{provider}/*" = {{discount = 0.5}}'), model)
    assert found.rates["input", 0, ""] * 2 == listed.rates["input", 0, ""]


def test_a_price_holds_from_its_beginning_on_and_the_maps_before(tmp_path: Path) -> None:
    text = '"gpt-4o" = {input_cost_per_token = 0.000002, valid_from = 2027-01-01}'
    found = prices(loaded(tmp_path, text), "gpt-4o")
    usage = Usage(input=10**6)
    before = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert cost_of(usage, found, before).nano == 2_500_000_000
    assert cost_of(usage, found, datetime(2027, 1, 1, tzinfo=UTC)).nano == 2_000_000_000
    assert found.at(before).rates == prices(Catalog(SNAPSHOT), "gpt-4o").rates


def test_a_list_has_successive_versions_in_any_order(tmp_path: Path) -> None:
    text = """
        "gpt-4o" = [
          {valid_from = 2028-01-01T00:00:00+08:00, input_cost_per_token = 0.000003},
          {input_cost_per_token = 0.000001},
          {valid_from = "2027-01-01T06:00:00", input_cost_per_token = 0.000002},
        ]
    """
    found = prices(loaded(tmp_path, text), "gpt-4o")
    inputs = {
        moment: found.at(datetime.fromisoformat(moment)).rates["input", 0, ""] // MILLION
        for moment in (
            "2020-01-01T00:00:00+00:00",
            "2027-01-01T05:59:59+00:00",
            "2027-01-01T06:00:00+00:00",
            "2027-12-31T15:59:59+00:00",
            "2027-12-31T16:00:00+00:00",
        )
    }
    assert list(inputs.values()) == [1, 1, 2, 2, 3]
    assert [begin.isoformat() for begin, _ in found.earlier] == [
        "2027-12-31T16:00:00+00:00",
        "2027-01-01T06:00:00+00:00",
    ]


def test_each_version_is_merged_with_the_map_and_not_with_the_one_before(tmp_path: Path) -> None:
    text = """
        "gpt-4o" = [{discount = 0.5}, {valid_from = 2027-01-01, max_output_tokens = 5}]
        "openai/*" = {discount = 0.1}
    """
    found = prices(loaded(tmp_path, text), "gpt-4o")
    (_, first), *_ = found.earlier
    assert first.rates["input", 0, ""] == 125 * MILLION // 100
    assert found.rates["input", 0, ""] == 225 * MILLION // 100
    assert (first.max_output_tokens, found.max_output_tokens) == (16_384, 5)


def test_a_discount_for_a_provider_holds_before_the_first_version_too(tmp_path: Path) -> None:
    text = """
        "gpt-4o" = {valid_from = 2027-01-01, input_cost_per_token = 0.000001}
        "openai/*" = {discount = 0.1}
    """
    found = prices(loaded(tmp_path, text), "gpt-4o")
    assert found.rates["input", 0, ""] == MILLION
    assert found.earlier[0][1].rates["input", 0, ""] == 225 * MILLION // 100


def test_the_first_price_of_an_unlisted_model_also_holds_before_it(tmp_path: Path) -> None:
    text = """
        ["house/chat"]
        valid_from = 2027-01-01
        input_cost_per_token = 0.000001
        output_cost_per_token = 0.000002
    """
    found = prices(loaded(tmp_path, text), "house/chat")
    assert found.earlier == ()
    assert found.at(datetime(2026, 1, 1, tzinfo=UTC)) is found


def test_an_alias_is_handed_to_the_resolution_and_priced_as_what_it_names(tmp_path: Path) -> None:
    found = source(
        tmp_path,
        """
        "azure/my-deployment" = {alias = "azure/gpt-4o"}
        "azure/second" = {alias = "azure/my-deployment"}
        "azure/gpt-4o" = {discount = 0.1}
        """,
    )
    assert found.aliases == {
        "azure/my-deployment": "azure/gpt-4o",
        "azure/second": "azure/gpt-4o",
    }
    for name in found.aliases:
        assert prices(Catalog(found), name).rates["input", 0, ""] == 225 * MILLION // 100


def test_a_name_of_the_map_can_be_priced_as_another_model(tmp_path: Path) -> None:
    catalog = loaded(tmp_path, '"gpt-4o" = {alias = "gpt-4o-mini"}')
    assert prices(catalog, "gpt-4o").rates["input", 0, ""] == 15 * MILLION // 100


def test_an_alias_can_name_a_model_of_the_same_file(tmp_path: Path) -> None:
    both = "{input_cost_per_token = 0.000001, output_cost_per_token = 0.000002}"
    catalog = loaded(tmp_path, f'"a" = {{alias = "house"}}\n"house" = {both}')
    assert prices(catalog, "a").rates["input", 0, ""] == MILLION


def test_a_model_on_the_users_machine_is_counted_through_an_alias(tmp_path: Path) -> None:
    both = "{input_cost_per_token = 0.000001, output_cost_per_token = 0.000002}"
    text = f'"my-machine/llama3" = {both}\n"ollama/llama3" = {{alias = "my-machine/llama3"}}'
    catalog = loaded(tmp_path, text)
    found = catalog.resolve("llama3", "ollama")
    assert found.model == "my-machine/llama3"
    assert found.prices is not None
    assert found.prices.rates["input", 0, ""] == MILLION
    assert catalog.resolve("llama3:8b", "ollama").prices is not None


def test_an_alias_of_the_map_can_have_a_price_of_its_own(tmp_path: Path) -> None:
    name = "claude-opus-latest"
    listed = prices(Catalog(SNAPSHOT), name)
    found = prices(loaded(tmp_path, f'"{name}" = {{discount = 0.5}}'), name)
    assert found.rates["input", 0, ""] * 2 == listed.rates["input", 0, ""]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        # numbers
        ("input_cost_per_token = -1", "input_cost_per_token = -1 cannot be used: a price is"),
        ("input_cost_per_token = nan", "input_cost_per_token = NaN cannot be used: a price is"),
        ("input_cost_per_token = inf", "Infinity cannot be used: a price is a finite number"),
        ('input_cost_per_token = "1"', "input_cost_per_token = '1' cannot be used: it is not a"),
        ("input_cost_per_token = true", "True cannot be used: it is not a number"),
        ("input_cost_per_token = [1]", "it is not a number"),
        ("input_cost_per_token = 1e-30", "1E-30 cannot be used: no price is that small"),
        ("output_cost_per_image = 1e30", "1E+30 cannot be used: no price is that small or that"),
        ("input_cost_per_token = 2.5", "more than 0.01 USD for one token; state the price of one"),
        ("cache_read_input_token_cost = 1.25", "more than 0.01 USD for one token"),
        # discount
        ("discount = 1", "discount = 1 cannot be used: it must be a number from 0 to below 1"),
        ("discount = 15", "from 0 to below 1. A good line is: discount = 0.15"),
        ("discount = -0.1", "discount = -0.1 cannot be used"),
        ("discount = nan", "discount = NaN cannot be used"),
        ('discount = "15%"', "discount = '15%' cannot be used"),
        ("discount = true", "discount = True cannot be used"),
        # currency
        (
            'currency = "CNY", discount = 0.1',
            "currency = 'CNY' cannot be used: it needs a usd_rate",
        ),
        ("usd_rate = 0.14, discount = 0.1", "usd_rate = 0.14 cannot be used: it needs a currency"),
        ('currency = "RMB", usd_rate = 0.14', "currency = 'RMB' cannot be used: it is no currency"),
        ('currency = "cny", usd_rate = 0.14', "'cny' cannot be used: it is written 'CNY'"),
        ("currency = 156, usd_rate = 0.14", "currency = 156 cannot be used: it is no currency"),
        ('currency = "CNY", usd_rate = 7.2', "usd_rate = 7.2 cannot be used: no currency is worth"),
        (
            'currency = "CNY", usd_rate = 0',
            "usd_rate = 0 cannot be used: it must be a number above",
        ),
        ('currency = "CNY", usd_rate = -1', "usd_rate = -1 cannot be used"),
        ('currency = "CNY", usd_rate = nan', "usd_rate = NaN cannot be used"),
        ('currency = "CNY", usd_rate = 1e-99', "usd_rate = 1E-99 cannot be used: it is too small"),
        ('currency = "CNY", usd_rate = "x"', "usd_rate = 'x' cannot be used"),
        ('currency = "USD", usd_rate = 2', "usd_rate = 2 cannot be used: one USD is 1 USD"),
        # dates
        ('valid_from = "soon"', "valid_from = 'soon' cannot be used: it is not a date"),
        ("valid_from = 2027", "valid_from = 2027 cannot be used: it is not a date"),
        ("valid_from = 10:00:00", "it is not a date of ISO 8601. A good line is: valid_from ="),
        ('valid_from = "0001-01-01T00:00:00+14:00"', "it is not a date of ISO 8601"),
        # facts
        ("max_output_tokens = 0", "max_output_tokens = 0 cannot be used: it must be a whole"),
        ("max_input_tokens = 1.5", "max_input_tokens = 1.5 cannot be used"),
        ("max_tokens = true", "max_tokens = True cannot be used"),
        ('supports_vision = "yes"', "supports_vision = 'yes' cannot be used: it must be true or"),
        ('litellm_provider = ""', "litellm_provider = '' cannot be used: it must be a name"),
        ("litellm_provider = 1", "litellm_provider = 1 cannot be used: it must be a name"),
        ('mode = "chatter"', "mode = 'chatter' cannot be used: it must be one of chat,"),
        ('web_search_billing_unit = "x"', "it must be 'per_query' or be left out"),
        # multipliers
        ("fedramp_uplift_multiplier = 0", "it must be a number above 0 and at most 10"),
        ("regional_endpoint_uplift_multiplier = 11", "above 0 and at most 10"),
        ('regional_processing_uplift_multiplier_eu = "x"', "above 0 and at most 10"),
        ("provider_specific_entry = {us = 0}", "its us = 0: it must be a number above 0"),
        ("provider_specific_entry = {europe = 1.1}", "there is no field 'europe' in it"),
        ("provider_specific_entry = 1.1", "it must be a table. A good line is: provider_spec"),
        # tables
        ("search_context_cost_per_query = {}", "it must be a table"),
        ("search_context_cost_per_query = {low = 1}", "there is no field 'low' in it"),
        ("search_context_cost_per_query = {search_context_size_low = -1}", "not negative"),
        ("tiered_pricing = 1", "it must be a list of tables"),
        ("tiered_pricing = []", "it must be a list of tables"),
        ("tiered_pricing = [1]", "it must be a table"),
        ("tiered_pricing = [{range = [0, 9]}]", "needs a range and input_cost_per_token"),
        ("tiered_pricing = [{input_cost_per_token = 0}]", "needs a range and input_cost_per_t"),
        ("tiered_pricing = [{range = [9, 9]}]", "a range is two whole numbers of tokens"),
        ("tiered_pricing = [{range = [0]}]", "a range is two whole numbers of tokens"),
        ("tiered_pricing = [{range = [0, 1.5]}]", "a range is two whole numbers of tokens"),
        ("tiered_pricing = [{range = [-1, 5]}]", "a range is two whole numbers of tokens"),
        ("tiered_pricing = [{input_cost_per_token_flex = 1}]", "there is no field 'input_cost"),
        ("tiered_pricing = [{source = 1}]", "there is no field 'source' in it"),
        ("off_peak_pricing = 1", "it must be a table"),
        ("off_peak_pricing = {input_cost_per_token = 0}", "it needs hours_utc or windows"),
        ('off_peak_pricing = {hours_utc = "8-9"}', "hours are written '16:30-00:30'"),
        ('off_peak_pricing = {hours_utc = "25:00-26:00"}', "hours are written"),
        ("off_peak_pricing = {hours_utc = []}", "hours are written"),
        ("off_peak_pricing = {hours_utc = [8]}", "hours are written"),
        ("off_peak_pricing = {hours_utc = 8}", "hours are written"),
        ("off_peak_pricing = {windows = []}", "it must be a list of tables"),
        ("off_peak_pricing = {windows = [{weekdays = [1]}]}", "each window needs hours_utc"),
        ("off_peak_pricing = {windows = [{days = [1]}]}", "there is no field 'days' in it"),
        ("off_peak_pricing = {windows = [{weekdays = [0]}]}", "from 1 (Monday) to 7"),
        ("off_peak_pricing = {windows = [{weekdays = 1}]}", "from 1 (Monday) to 7"),
        ('off_peak_pricing = {weekday_timezone = "Mars/Base"}', "no such time zone"),
        # names of fields
        ("input_cost_per_tokens = 1", "did you mean 'input_cost_per_token'"),
        ("input_cost_per_token_prority = 1", "did you mean 'input_cost_per_token_priority'"),
        ("discout = 0.1", "there is no such field; did you mean 'discount'?"),
        ("xyzzy = 1", "xyzzy = 1 cannot be used: there is no such field"),
        ("input_dbu_cost_per_token = 1", "there is no such field"),
        ("0 = {discount = 0.1}", "in TOML a name with a dot or a slash needs quotes"),
        # aliases
        ('alias = ""', "alias = '' cannot be used: it must be a name"),
        ("alias = 1", "alias = 1 cannot be used: it must be a name"),
        (
            'alias = "gpt-4o-mini", discount = 0.1',
            "alias = 'gpt-4o-mini' cannot be used: it stands",
        ),
        ('alias = "gtp-4o-mini"', "no such model; did you mean 'gpt-4o-mini'"),
        ('alias = "GPT-4o-mini"', "no such model; did you mean 'gpt-4o-mini'"),
        ('alias = "gpt-4o"', "alias = 'gpt-4o' cannot be used: it leads back to itself"),
    ],
)
def test_a_bad_field_is_refused_with_file_model_field_value_and_remedy(
    tmp_path: Path, entry: str, says: str
) -> None:
    message = refusal(written(tmp_path, f'"gpt-4o" = {{{entry}}}'))
    assert "model 'gpt-4o': " in message
    assert says in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"gpt-4o" = 1', "model 'gpt-4o': its entry = 1 cannot be used: it is not a table"),
        ('"gpt-4o" = {}', "its entry = {} cannot be used: it is not a table"),
        ('"gpt-4o" = []', "its entry = [] cannot be used: the list is empty"),
        ('"gpt-4o" = ["x"]', "its entry = 'x' cannot be used: it is not a table"),
        ('"gpt-4o" = [{discount = 0.1}, {discount = 0.2}]', "cannot begin at the same time"),
        (
            '"gpt-4o" = [{discount = 0, valid_from = 2027-01-01}, {valid_from = "2027-01-01"}]',
            "valid_from = 2027-01-01 00:00:00+00:00 cannot be used: two versions",
        ),
        ('"gpt-4o" = [{alias = "gpt-4"}]', "a list of versions has prices, not an alias"),
        (
            '"gtp-4o" = {discount = 0.1}',
            "entry states no price, and the price map has no such model; did",
        ),
        ('"gtp-4o" = {discount = 0.1}', "'? A good line is: input_cost_per_token"),
        (
            '"house" = {max_output_tokens = 5}',
            "model 'house' cannot be used: its entry states no price",
        ),
        ('"openai/gpt-4o" = {discount = 0.1}', "did you mean 'gpt-4o'"),
        ('"GPT-4o" = {discount = 0.1}', "the price map spells it otherwise. A good line is: "),
        ('"GPT-4o" = {alias = "gpt-4"}', "the price map spells it otherwise"),
        (
            '"x" = {alias = "gpt-4"}\n"X" = {alias = "gpt-4"}',
            "model 'X' cannot be used: it is there twice",
        ),
        ('"x" = {input_cost_per_token = 0.00001}', "prices only one side of it; state input_cost"),
        (
            '"codestral/codestral-latest" = {discount = 0.1}',
            "states no price, and the price map says 0",
        ),
        ('"a" = {alias = "b"}\n"b" = {alias = "a"}', "it leads back to itself"),
        (
            '"ollama/llama3" = {input_cost_per_token = 0.00001, output_cost_per_token = 0}',
            "what 'ollama' serves runs on your own machine and costs nothing",
        ),
        (
            '"x" = {litellm_provider = "ollama_chat", mode = "rerank", input_cost_per_query = 0.1}',
            "what 'ollama_chat' serves runs on your own machine and costs nothing",
        ),
        ('"openai/*" = {input_cost_per_token = 0}', "can have a discount and nothing else"),
        ('"openai/*" = {discount = 0.1, max_tokens = 1}', "can have a discount and nothing else"),
        ('"openai/*" = {alias = "gpt-4o"}', "can have a discount and nothing else"),
        ('"openai/*" = [{discount = 0.1}]', "model 'openai/*': its entry"),
        ('"openia/*" = {discount = 0.1}', "no such provider; did you mean 'openai'"),
        (
            '"bedrock/*" = {discount = 0.1}\n"bedrock_converse/*" = {discount = 0.1}',
            "'bedrock' is there twice",
        ),
        ('"gpt-4*" = {discount = 0.1}', "a star stands for all models of a provider only"),
        ('"*" = {discount = 0.1}', "a star stands for all models of a provider only"),
        ('"gpt-4o" = {discount = 0.1}\n"gpt-4o" = {discount = 0.2}', "cannot be read"),
        ('"gpt-4o" = {discount = 0.1, discount = 0.2}', "cannot be read"),
        ("gpt-4o = {", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, text: str, says: str
) -> None:
    assert says in refusal(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read"),
        ("[]", "must be an object"),
        ("1", "must be an object"),
        ('{"gpt-4o": {"discount": 0.1}, "gpt-4o": {"discount": 0.2}}', "'gpt-4o' is there twice"),
        ('{"gpt-4o": {"discount": 0.1, "discount": 0.2}}', "'discount' is there twice"),
        ('{"gpt-4o": {"input_cost_per_token": NaN}}', "input_cost_per_token = NaN cannot be used"),
        ('{"gpt-4o": {"discount": -Infinity}}', "discount = -Infinity cannot be used"),
        ('{"gpt-4o": null}', "its entry = None cannot be used"),
        ("[" * 100_000, "cannot be read"),
        (f'{{"gpt-4o": {{"discount": {"1" * 5000}}}}}', "cannot be read"),
    ],
)
def test_a_json_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, text: str, says: str
) -> None:
    assert says in refusal(written(tmp_path, text, ".json"))


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    assert "must be named '.toml' or '.json'" in refusal(written(tmp_path, "a: 1", ".yaml"))


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read: 'utf-8' codec" in refusal(path)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "none.toml")
    assert "cannot be read: Is a directory" in refusal(tmp_path)


def test_an_empty_file_changes_nothing_but_the_fingerprint(tmp_path: Path) -> None:
    found = source(tmp_path, "# nothing yet\n")
    assert found.fingerprint != SNAPSHOT.fingerprint
    assert dict(found.models) == dict(SNAPSHOT.models)


EXAMPLE = Path(__file__).parents[3] / "examples" / "prices.toml"


def example_cost(name: str, at: str, **usage: Any) -> Decimal:
    found = prices(Catalog(prices_in_force(own=EXAMPLE)), name)
    return Decimal(cost_of(Usage(**usage), found, datetime.fromisoformat(at)).nano).scaleb(-9)


@pytest.mark.parametrize(
    ("name", "at", "usd"),
    [
        ("ernie-4.0", "2026-11-24T00:00:00+00:00", "16.8"),
        ("azure/my-deployment", "2026-11-24T00:00:00+00:00", "12.5"),
        ("gpt-4o", "2026-11-24T00:00:00+00:00", "10.625"),
        ("gpt-4o-mini", "2026-11-24T00:00:00+00:00", "0.7125"),
        ("claude-sonnet-4-5", "2026-12-31T23:59:59+00:00", "18"),
        ("claude-sonnet-4-5", "2027-01-01T00:00:00+00:00", "15"),
        ("hosted_vllm/house-model", "2027-03-01T07:59:59+00:00", "2"),
        ("hosted_vllm/house-model", "2027-03-01T08:00:00+00:00", "1.5"),
    ],
)
def test_the_example_costs_what_it_says(name: str, at: str, usd: str) -> None:
    assert example_cost(name, at, input=10**6, output=10**6) == Decimal(usd)


def test_every_line_of_the_example_is_in_force() -> None:
    found = prices_in_force(own=EXAMPLE)
    ernie = prices(Catalog(found), "ernie-4.0")
    assert (ernie.provider, ernie.max_input_tokens, ernie.max_output_tokens) == (
        "baidu",
        8192,
        2048,
    )
    assert found.aliases == {"azure/my-deployment": "azure/gpt-4o"}
    assert "azure/my-deployment" not in SNAPSHOT.models
    assert "ernie-4.0" not in SNAPSHOT.models

from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins import ConfigurationError
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.pricing.abilities import ABILITIES, abilities, make_needs, missing
from tests.unit.trackers import CATALOG


def test_what_the_map_leaves_out_of_a_model_it_cannot_do() -> None:
    known = abilities(CATALOG, CATALOG.resolve("gpt-3.5-turbo"))
    assert known["tools"]
    assert not known["images"]
    assert "video" not in known
    assert missing(known, {"tools", "images", "video", "audio"}) == ["audio", "images"]


def test_a_structure_can_be_had_from_a_tool() -> None:
    assert missing({"tools": True, "structured_output": False}, {"structured_output"}) == []
    assert missing({"structured_output": False}, {"structured_output"}) == []
    assert missing({"tools": False, "structured_output": False}, {"structured_output"}) == [
        "structured_output"
    ]


@pytest.mark.parametrize("name", ["ollama/llama3", "no-such-model"])
def test_of_an_unknown_model_and_of_one_on_ones_own_machine_nothing_is_known_to_be_missing(
    name: str,
) -> None:
    assert missing(abilities(CATALOG, CATALOG.resolve(name)), ABILITIES) == []


def test_of_a_model_whose_price_the_user_states_nothing_is_known_to_be_missing(
    tmp_path: Path,
) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(
        '["acme/one"]\nlitellm_provider = "acme"\nmode = "chat"\n'
        "input_cost_per_token = 0.000001\noutput_cost_per_token = 0.000002\n",
        "utf-8",
    )
    catalog = Catalog.load(own=own)
    found = catalog.resolve("acme/one")
    assert found.prices is not None
    assert missing(abilities(catalog, found), ABILITIES) == []


@pytest.mark.parametrize("needs", ["tools", 5, ["wings"]])
def test_needs_that_are_no_list_of_abilities_are_refused(needs: Any) -> None:
    with pytest.raises(ConfigurationError, match="tools"):
        make_needs(needs)

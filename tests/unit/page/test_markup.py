from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.page.markup import label, tag


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Mn"]) | st.just(" ")))
def test_any_text_comes_back_as_it_was_from_content_and_attribute(text: str) -> None:
    read_back = read(tag("p", text, title=text))
    assert read_back.tags == ["p"]
    assert read_back.attributes == {"title": text}
    assert read_back.text == text


def test_markup_in_a_label_is_text() -> None:
    shown = read(label("</bdi><script>alert(1)</script>"))
    assert shown.tags == ["bdi"]
    assert shown.text == "</bdi><script>alert(1)</script>"


def test_what_would_turn_the_writing_of_a_page_is_replaced_and_what_joins_an_emoji_is_not() -> None:
    assert "\u202e" not in tag("p", "exe\u202egnp", title="\u202e")
    family = "\U0001f469\u200d\U0001f467"
    assert family in tag("p", family)


def test_a_long_label_is_cut_and_whole_on_hover() -> None:
    shown = read(label("x" * 500))
    assert len(shown.text) == 60
    assert shown.attributes["title"] == "x" * 500


def test_no_label_is_told_from_one_that_says_none() -> None:
    assert label("") != label("(none)")

"""HTML of notebooks: escaped, balanced, and without fixed colours."""

import re
from html.parser import HTMLParser

from wheelvec.model import markup

VOID = {"br"}


class Balance(HTMLParser):
    """Collects open elements, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if self.open[-1:] == ["style"] else self.text).append(data)


def checked(html: str) -> str:
    """The text of HTML, which must be balanced and know neither light nor dark."""
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    for style in [*parser.styles, *re.findall(r'style="([^"]*)"', html)]:
        assert not re.search(r"(?<![-\w])color:|background|#[0-9a-f]{3}", style), style
    assert "<script" not in html
    return "".join(parser.text)


def test_text_is_escaped_everywhere() -> None:
    odd = '<script>alert(1)</script> & "x"'
    parts = [
        markup.heading(odd),
        markup.paragraph(odd),
        markup.listing([odd, odd], most=1),
        markup.table([odd], [[odd]]),
        markup.folded(odd, markup.paragraph(odd)),
    ]
    text = checked(markup.block(*parts))
    assert text.count(odd) == 7
    assert "and 1 more" in text


def test_numbers_are_read_by_people() -> None:
    assert [markup.shown(value) for value in (1_234_567, -0.005, True, None, float("inf"))] == [
        "1,234,567", "-0.01", "true", "-", "-",
    ]  # fmt: skip


def test_columns_are_aligned_as_asked() -> None:
    html = markup.table(["name", "value"], [["a", 1.0]], "lr")
    assert re.findall(r"<(t[hd](?: [^>]*)?)>", html) == ["th", 'th class="r"', "td", 'td class="r"']
    assert "<thead>" not in markup.table(["", ""], [["a", 1]], "lr")

"""The pictures of the README are there, small, described in words, and what the demo market gives."""

import re

import pytest

from tests import docs_pictures, docs_site
from tests.docs_pictures import FOLDER, INKS, PICTURES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_picture_stands_in_the_readme_for_light_and_dark() -> None:
    shown = re.findall(r'(?:srcset|src)="docs/pictures/([^"]*)"', README)
    files = [f"{name}-{kind}.svg" for name in PICTURES for kind in INKS]
    assert sorted(shown) == sorted(files) == sorted(each.name for each in FOLDER.iterdir())
    assert all((FOLDER / name).stat().st_size < 60_000 for name in files)
    words = re.findall(r'<img src="[^"]*" alt="([^"]*)">', README)
    assert len(words) == len(PICTURES)
    assert min(map(len, words)) > 80


def test_the_site_has_them_beside_its_first_page() -> None:
    text = docs_site.relinked(README, ROOT / "README.md", "index.md")
    assert text.count('="pictures/') == 2 * len(PICTURES)
    assert "docs/pictures/" not in text


@pytest.mark.parametrize("name", ["wheel", "heat"])
def test_a_picture_is_what_the_demo_market_gives(name: str) -> None:
    for file, text in docs_pictures.drawn(name).items():
        assert (FOLDER / file).read_text(encoding="utf-8") == text, "python -m tests.docs_pictures"

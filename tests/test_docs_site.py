"""The documentation site has every page, builds without a warning, and asks nobody for anything."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from tests import docs_names, docs_site
from tests.docs_site import ROOT

CHROMIUM = shutil.which("chromium")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


def navigation(entries: Any) -> Iterator[str]:
    """The pages of a navigation, in order."""
    if isinstance(entries, str):
        yield entries
    else:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from navigation(entry)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built in a separate folder."""
    project = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "mkdocs.yml", project)
    for name in ("wheelvec", "tests"):
        (project / name).symlink_to(ROOT / name, target_is_directory=True)
    docs_site.stage(project)
    return docs_site.build(project)


def test_every_page_is_in_the_navigation_once() -> None:
    configured = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = list(navigation(configured["nav"]))
    assert sorted(listed) == sorted(docs_site.pages().values())


def test_every_page_and_every_name_is_built(site: Path) -> None:
    for place in docs_site.pages().values():
        assert (site / place).with_suffix(".html").is_file(), place
    page = (site / "api.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'id="([\w.]+)"', page))
    assert {docs_names.path(name) for name in docs_names.public()} <= anchors
    assert "&gt;&gt;&gt;" in page  # the examples are code
    assert "Example:" not in re.sub(r"<[^>]*>", "", page)


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loading = re.compile(
        r"<(?:script|link|img|iframe|source|object)\b[^>]*(?:src|href)=[\"']?https?:"
    )
    for page in site.rglob("*.html"):
        assert loading.search(page.read_text(encoding="utf-8")) is None, page.name
    for style in site.rglob("*.css"):
        assert re.search(r"url\([\"']?https?:|@import", style.read_text(encoding="utf-8")) is None


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_pages_open_from_a_folder_and_can_be_searched(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    said: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 390, "height": 844}, offline=True)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith("file:") else said.append(r.url))
        for name in ("index", "reference", "notebooks/quickstart"):
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_load_state("load")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        page.keyboard.press("Control+k")
        page.get_by_placeholder("Search").fill("moneyness")
        page.locator("[role=option]", has_text="moneyness").first.wait_for()
        browser.close()
    assert said == []


def test_links_lead_to_the_pages_of_the_site() -> None:
    there = ROOT / "docs" / "rules.md"
    for said, becomes in {
        "[fills.md](fills.md#not-modelled)": "[Fills, settlement, and what is not modelled](fills.md#not-modelled)",
        "[all of it](../CHANGELOG.md)": "[all of it](changelog.md)",
        "[quickstart.ipynb](../notebooks/quickstart.ipynb)": "[Quickstart: one result, questioned](notebooks/quickstart.md)",
        "[the layouts](../wheelvec/vendors/files/layouts)": "the layouts",
        "[Polars](https://pola.rs)": "[Polars](https://pola.rs)",
        "[below](#units)": "[below](#units)",
        "```python\nx = [f](fills.md)\n```": "```python\nx = [f](fills.md)\n```",
    }.items():
        assert docs_site.relinked(said, there, "rules.md") == becomes
    notebook = ROOT / "notebooks" / "sweep.ipynb"
    linked = docs_site.relinked("[x](../docs/data.md)", notebook, "notebooks/sweep.md")
    assert linked == "[x](../data.md)"


def test_a_notebook_becomes_a_page_with_its_outputs(tmp_path: Path) -> None:
    outputs = [
        nbformat.v4.new_output("stream", text="printed\n"),
        nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "no"}),
        nbformat.v4.new_output("execute_result", {"text/plain": "plain"}),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("f()", outputs=outputs),
    ]
    page = docs_site.of_notebook(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.md")
    assert page.split("\n\n") == [
        "# Title",
        "```python\nf()\n```",
        "```text\nprinted\n```",
        "![](one-1-1.svg)",
        "```text\nplain\n```\n",
    ]
    assert (tmp_path / "one-1-1.svg").read_text() == "<svg/>"


def test_a_frame_of_a_notebook_becomes_a_plain_table() -> None:
    html = (
        '<div><style>\n.dataframe {}\n</style>\n<small>shape: (1, 2)</small><table border="1" class="dataframe">'
        "<thead><tr><th>a</th><th>b</th></tr><tr><td>str</td><td>f64</td></tr></thead>"
        "<tbody><tr><td>&quot;7&quot;</td><td>-1.5</td></tr></tbody></table></div>"
    )
    assert docs_site.bare(html) == (
        "<div><table><thead><tr><th>a</th><th>b</th></tr></thead>"
        '<tbody><tr><td>7</td><td style="text-align: right">-1.5</td></tr></tbody></table></div>'
    )

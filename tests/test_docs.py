"""The documentation says what the code does: its programs run, and what it shows is what they
print.
"""

from __future__ import annotations

import dataclasses
import re
import runpy
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import polars as pl
import pytest

import wheelvec as wv
from wheelvec import cli
from wheelvec.demo.synthetic import demo_tables
from wheelvec.model.config import SECTIONS
from wheelvec.model.grid import Grid, grid_from_toml

DOCS = runpy.run_path(str(Path(__file__).with_name("docs_costs.py")))
ROOT: Path = DOCS["ROOT"]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
AGAIN = "`python tests/docs_costs.py` writes it anew"


def read(name: str) -> str:
    """The text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_readme_prints_what_it_shows() -> None:
    written, warned = DOCS["with_output"](read("README.md"))
    assert written == read("README.md"), AGAIN
    assert warned == []


def test_readme_program_is_short() -> None:
    program, *_ = DOCS["blocks"](read("README.md"), "python")
    assert sum(bool(line.strip()) for line in program.splitlines()) <= 16


def test_migrating_prints_what_it_shows_and_warns_as_it_says() -> None:
    page = read("docs/migrating.md")
    written, warned = DOCS["with_output"](page)
    assert written == page, AGAIN
    assert len(warned) == 1
    assert f"`{warned[0]}`" in page


def test_results_print_what_they_show() -> None:
    page = read("docs/results.md")
    written, warned = DOCS["with_output"](page)
    assert written == page, AGAIN
    assert warned == []


def test_getting_started_prints_what_it_shows_and_says() -> None:
    page = read("docs/getting-started.md")
    written, warned = DOCS["with_output"](page)
    assert written == page, AGAIN
    assert warned == []
    roc = {(mode, stop): float(mean) for mode, stop, mean in re.findall(r"^(\w+) +stop +(\S+) +(\S+)% se", page, re.M)}  # fmt: skip
    by_stop = [roc[mode, "none"] - roc[mode, "2.0"] for mode in ("optimistic", "realistic", "pessimistic")]  # fmt: skip
    by_fills = [roc["optimistic", stop] - roc["pessimistic", stop] for stop in ("none", "2.0")]
    assert min(by_stop) > max(by_fills) > 0
    assert roc["realistic", "2.0"] < 0 < roc["optimistic", "2.0"]
    returns = {name: float(found) for name, found in re.findall(r"^(\w+) +(\S+)% +\S+% drawdown", page, re.M)}  # fmt: skip
    assert 0 < returns["account"] < returns["delta_matched"]


@pytest.mark.parametrize(
    ("page", "name", "content"),
    [
        ("docs/fills.md", "costs", "cost_table"),
        ("docs/fills.md", "survivorship", "survivorship_table"),
        ("docs/portfolio.md", "everything", "everything_sentence"),
        ("docs/portfolio.md", "orders", "order_table"),
        ("docs/portfolio.md", "matched", "matched_table"),
        ("docs/migrating.md", "bridge", "bridge_table"),
    ],
)
def test_tables_are_those_of_this_code(page: str, name: str, content: str) -> None:
    written = DOCS["with_table"](read(page), name, DOCS[content]())
    assert written == read(page), AGAIN


def test_markers_must_stand_once() -> None:
    with pytest.raises(ValueError, match="'costs' stand 0 times"):
        DOCS["with_table"]("a page", "costs", "a table")


@pytest.mark.notebook
@pytest.mark.parametrize("path", DOCS["NOTEBOOKS"], ids=lambda path: path.name)
def test_notebook_shows_what_it_computes(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert kept.metadata.kernelspec.name == "python3"
    shown = DOCS["texts"](kept)
    assert all(any(outputs) for outputs in shown), "a code cell without output"
    assert DOCS["texts"](DOCS["executed_notebook"](path)) == shown, AGAIN


@pytest.mark.parametrize("path", DOCS["NOTEBOOKS"], ids=lambda path: path.name)
def test_notebook_names_no_place_of_a_machine(path: Path) -> None:
    kept = path.read_text(encoding="utf-8")
    places = (ROOT, Path.home(), Path(tempfile.gettempdir()))
    assert [place for place in places if f"{place}/" in kept] == []


def test_data_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tables = demo_tables(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
    names = {"quotes": "option_quotes", "option_bars": "option_bars", "bars": "underlying_bars"}
    given: dict[str, Any] = {name: tables[table] for name, table in names.items()}
    program, _ = DOCS["blocks"](read("docs/data.md"), "python")  # the other reads an object store
    exec(program, {"wv": wv} | given)
    assert list((tmp_path / "lake").rglob("underlying=ALFA/2024-01.parquet"))


def test_programs_of_charts_and_pages_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for program in DOCS["blocks"](read("docs/pages.md"), "python"):
        exec(program, names)
    written = {path.name for path in tmp_path.iterdir()}
    charts, pages = (
        {"equity.png", "by-delta.svg", "wheel.html"},
        {"result", "account", "data", "both"},
    )
    assert written == charts | {f"{name}.html" for name in pages}
    charted = re.findall(r"^\| `(\w+)` \|", read("docs/pages.md"), re.MULTILINE)
    assert sorted(charted) == sorted(wv.plots.__all__)


def test_readme_commands_run_in_order_and_print_what_it_shows() -> None:
    assert DOCS["with_shell_output"](read("README.md")) == read("README.md"), AGAIN


def test_the_first_real_result_is_run_on_an_invented_set() -> None:
    page = read("docs/first-real-result.md")
    assert DOCS["with_shell_output"](page) == page, AGAIN
    commands = [block for block in DOCS["blocks"](page, "sh") if block.startswith("wheelvec ")]
    assert [command.split()[1] for command in commands] == ["get", "check", "run", "sweep"]


def test_a_shell_block_that_fails_or_complains_is_noticed(tmp_path: Path) -> None:
    for command in ("wheelvec show nowhere", "wheelvec show nowhere; true"):
        with tempfile.TemporaryDirectory() as folder, pytest.raises(subprocess.CalledProcessError):
            DOCS["ran_in_shell"](f"```sh\n{command}\n```\n", Path(folder))
    page = "```sh\nwheelvec --version\n```\n\n```text\nwheelvec 0\n```\n"
    assert DOCS["with_shell_output"](page) == page.replace(
        "wheelvec 0\n", f"wheelvec {wv.__version__}\n"
    )


def test_sample_grid_is_one(tmp_path: Path) -> None:
    (sample,) = DOCS["blocks"](read("docs/sweeps.md"), "toml")
    path = tmp_path / "grid.toml"
    path.write_text(sample, encoding="utf-8")
    grid = Grid.read(wv.Config(), grid_from_toml(path))
    assert grid.size == 2 * 13 * 3 * 32
    assert grid.config(grid.size - 1).put.stop_loss_multiplier is None


def test_sample_layout_is_one_and_reads_a_file(tmp_path: Path) -> None:
    (sample,) = DOCS["blocks"](read("docs/importing.md"), "toml")
    (tmp_path / "mine.toml").write_text(sample, encoding="utf-8")
    (tmp_path / "f.csv").write_text(
        "Ticker,Day,Expiry,Strike,Spot,Call Bid,Call Ask,Put Bid,Put Ask\n"
        "ACME,01/02/2024 16:15,16/02/2024,100,101.25,NA,2.55,1.10,1.15\n"
    )
    wv.import_files(tmp_path / "f.csv", layout=tmp_path / "mine.toml", lake=tmp_path / "lake")
    found = wv.Market.open(tmp_path / "lake").option_quotes
    assert found.select("symbol", "bid", "ask", "underlying_price").rows() == [
        ("ACME  240216C00100000", None, 2.55, 101.25),
        ("ACME  240216P00100000", 1.10, 1.15, 101.25),
    ]
    assert str(found["session"][0]) == "2024-02-01"


def test_commands_are_understood() -> None:
    """Those too that are not run, because they need a network: on every page."""
    found = set()
    for page in PAGES:
        for block in DOCS["blocks"](page.read_text(encoding="utf-8"), "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.partition(" | ")[0].partition(" > ")[0], comments=True)
                if words[:1] == ["wheelvec"] and words[1:] != ["--help"]:
                    assert callable(cli.parser().parse_args(words[1:]).command)
                    found.add(words[1])
    assert found >= {"demo", "init", "run", "show", "sweep", "import", "check", "fetch", "get"}
    targets = re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE)
    commands = [
        line for block in DOCS["blocks"](read("README.md"), "sh") for line in block.splitlines()
    ]
    assert {line.split()[1] for line in commands if line.startswith("make ")} <= set(targets)


def test_no_page_installs_from_an_index() -> None:
    """wheelvec is on none: its extras are those of a clone."""
    for page in PAGES:
        for named in re.findall(r"pip install [^`\n]*", page.read_text(encoding="utf-8")):
            assert "wheelvec" not in named, f"{page.name}: {named}"


def defaults() -> dict[str, list[Any]]:
    """Every field of the configuration and its default, by name; some names stand in two parts."""
    found: dict[str, list[Any]] = {}
    for part in SECTIONS.values():
        for field in dataclasses.fields(part):
            found.setdefault(field.name, []).append(getattr(part(), field.name))
    return found


def test_defaults_are_those_of_the_configuration() -> None:
    stated = re.findall(r"`(\w+)` \[([^\];]+)", read("docs/fills.md"))
    assert len(stated) > 25
    for name, value in stated:
        known = ["none" if default is None else str(default) for default in defaults()[name]]
        known += [f"{default:.2f}" for default in defaults()[name] if isinstance(default, float)]
        known += [
            f"{default:.0f}"
            for default in defaults()[name]
            if isinstance(default, float) and default == 0
        ]
        assert value.split(" = ")[0] in known, f"{name} [{value}]: the defaults are {known}"


def test_every_public_name_is_documented() -> None:
    listed = ROOT / "docs" / "api.md"  # has every name, and says little of it
    prose = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page != listed)
    parts = {
        kind.__name__ for kind in SECTIONS.values()
    }  # documented as the sections of a configuration
    missing = [
        name
        for name in wv.__all__
        if name not in prose and name not in parts | {"__version__", "WheelvecError"}
    ]
    assert missing == []


@pytest.mark.parametrize("page", [*PAGES, *DOCS["NOTEBOOKS"]], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"use_realistic_fills": True, "fill_mode": "optimistic"}, "fill_mode", "natural"),
        ({"use_realistic_fills": False, "fill_mode": "pessimistic"}, "fill_mode", "pessimistic"),
        ({"rate": 0.05}, "rate", 0.05),
        ({"risk_free_rate": 0.05}, "rate", 0.05),
        ({"symbol": "ALFA"}, "symbols", ("ALFA",)),
        ({"min_bid_hard": 0.2}, "min_bid_hard", 0.2),
        ({"cache_dir": "cache", "log_level": "INFO"}, "fill_mode", "realistic"),
    ],
)
def test_keys_of_the_notebook(changes: dict[str, Any], field: str, expected: Any) -> None:
    """The table of docs/migrating.md, row by row."""
    config = wv.Config.from_notebook(changes)
    values = [
        getattr(getattr(config, part), field)
        for part in SECTIONS
        if hasattr(getattr(config, part), field)
    ]
    assert values == [expected]


def test_unknown_keys_of_the_notebook_are_named() -> None:
    with pytest.warns(UserWarning, match=r"ignored.*CC_CONFIG\['cc_colour'\], CONFIG\['colour'\]"):
        wv.Config.from_notebook({"colour": 1}, {"cc_colour": 1, "cc_dte_min": 10})


def test_demo_market_answers_what_the_pages_say_of_it() -> None:
    """The statements in prose that hang on figures."""
    now, then = DOCS["ran"](), DOCS["ran"](rules="v5")
    figures = now.summary()
    assert figures["median_wheel_roc"] > figures["avg_wheel_roc"] + 0.5
    assert figures["no_data_wheels"] > 0
    worst = now.wheels.drop_nulls("wheel_roc").sort("wheel_roc").row(0, named=True)
    assert worst["csp_exit_reason"] == "assigned"
    assert now.wheels.filter(pl.col("end_reason") == "called_away").height > 0
    assert then.wheels["stock_pnl"].sum() == 0
    assert then.records.filter(pl.col("phase") == "cc").height == 0


def test_the_demo_account_answers_what_the_page_says_of_it() -> None:
    drawn = [DOCS["simulated"](order="random", seed=s).metrics() for s in DOCS["LUCK"]]
    first = DOCS["simulated"]().metrics()
    assert first["total_return"] > max(f["total_return"] for f in drawn)
    account = DOCS["simulated"](rate=0.04)
    figures = {name: account.metrics(of=name) for name in account.benchmarks.columns[1:]}
    own = account.metrics()["total_return"]
    assert own > figures["cash"]["total_return"]
    assert own > figures["buy_and_hold"]["total_return"]
    assert own < figures["delta_matched"]["total_return"]

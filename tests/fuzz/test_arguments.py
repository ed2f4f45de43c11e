"""Command lines of any words over files of any kind: a result, or one line that says what is wrong."""

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import strategies as st

import wheelvec as wv
from tests.fuzz.build import UNEXPECTED, command, fuzzed
from wheelvec.demo import synthetic
from wheelvec.demo.synthetic import demo_tables

FOLDER = Path()
COMMANDS = [
    "demo",
    "init",
    "run",
    "sweep",
    "show",
    "check",
    "import",
    "import dbn",
    "fetch",
    "help",
    "shwo",
    "",
]
OPTIONS = [
    "--lake", "--out", "--set", "--rules", "--quiet", "--json", "--csv", "--table", "--threads", "--stats", "--calendar",
    "--option-quotes", "--option-bars", "--underlying-bars", "--dividends", "--strict", "--entry-time", "--look-back",
    "--config", "--symbols", "--start", "--end", "--dry-run", "--max-cost", "-v", "-h", "--version", "--help", "--colour",
    "--",
]  # fmt: skip
FILES = [
    "wheel.toml", "grid.toml", "latin.toml", "utf16.toml", "broken.toml", "json.toml", "some.parquet", "damaged.parquet", "empty",
    "folder", "lake", "result", "sweep", "gone", "gone/deeper", "wheel.toml/below", "new", ".", "",
]  # fmt: skip
VALUES = [
    "put.exit_pct=0.3", "put.exit_pc=0.3", "put=1", "=", "schedule.end_date=2024-01-05", "schedule.symbols=ALFA,ALFA", "rules=v5",
    "v5", "moments", "wheels", "records", "0", "-1", "1", "2.5", "x", "NYSE", "15:45", "2024-01-02", "ALFA", "\udcff", "🦄", "a\nb",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files of every kind, a lake, a result and a sweep."""
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("arguments")
    made = demo_tables(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
    market = wv.Market(**made)  # type: ignore[arg-type]
    market.write(FOLDER / "lake")
    config = wv.Config().replace(
        **{"schedule.start_date": "2024-01-02", "schedule.end_date": "2024-01-08"}
    )
    wv.backtest(market, config, out=FOLDER / "result")
    wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}, out=FOLDER / "sweep", threads=1)
    config.to_toml(FOLDER / "wheel.toml")
    (FOLDER / "grid.toml").write_text("[put]\nexit_pct = [0.25, 0.5]\n", encoding="utf-8")
    (FOLDER / "latin.toml").write_bytes('[put]\n# né\nexit_pct = "é"\n'.encode("latin-1"))
    (FOLDER / "utf16.toml").write_text("[put]\nexit_pct = 0.3\n", encoding="utf-16")
    (FOLDER / "broken.toml").write_text("[put\nexit_pct = 0.3\n", encoding="utf-8")
    (FOLDER / "json.toml").write_text('{"put": {"exit_pct": 0.3}}', encoding="utf-8")
    made["option_quotes"].head(100).write_parquet(FOLDER / "some.parquet")
    written = (FOLDER / "some.parquet").read_bytes()
    (FOLDER / "damaged.parquet").write_bytes(written[:2000] + b"\xff" * 200 + written[2200:])
    (FOLDER / "empty").touch()
    (FOLDER / "folder").mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(FOLDER / "folder" / "other.parquet")


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command with what it needs, or with anything."""
    words = draw(st.sampled_from(COMMANDS)).split()
    for _ in range(draw(st.integers(0, 3))):
        words.append(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(0, 4))):
        words.append(draw(st.sampled_from(OPTIONS)))
        if draw(st.booleans()):
            words.append(draw(st.sampled_from(FILES + VALUES)))
    if draw(st.booleans()):
        words += ["--lake", draw(st.sampled_from(["lake", *FILES]))]
    if draw(st.booleans()):
        words += ["--out", draw(st.sampled_from(["new", *FILES]))]
    return words


def answered(code: int, out: str, err: str) -> None:
    """Every command line gives an exit code, and if it is not 0 one line that the project wrote."""
    assert code in (0, 1, 2), err
    assert "Traceback" not in err
    assert not UNEXPECTED.search(err), err
    if code == 0:
        assert "error" not in err, err
    elif "usage: " not in err:  # no command at all: the help
        assert re.fullmatch(
            r"(wheelvec: (INFO|DEBUG|WARNING|warning): [^\n]*\n)*wheelvec: error: [^\n]+\n", err
        ), err


@fuzzed(50, 5_000, words=lines())
def test_any_line_is_answered(words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(FOLDER)
        patched.delenv("DATABENTO_API_KEY", raising=False)
        small = wv.Market.open("lake")
        patched.setattr(synthetic, "demo_market", lambda: small)
        kept = {
            path: path.read_bytes()
            for path in FOLDER.rglob("*")
            if path.is_file() and "new" not in path.parts
        }
        answered(*command(*words))
        assert {path: path.read_bytes() for path in kept if path.suffix == ".toml"} == {
            path: written for path, written in kept.items() if path.suffix == ".toml"
        }

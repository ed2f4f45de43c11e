"""Configurations of any kind: run, or refused in one line that names what is wrong."""

from pathlib import Path

import pytest
from hypothesis import strategies as st

import wheelvec as wv
from tests.fuzz.build import command, failed_well, fuzzed
from wheelvec.demo.synthetic import demo_tables
from wheelvec.model.config import field_names

VALUES = r"""
0 1 -1 2 5 45 30 14 100 365 0.0 0.5 -0.5 1.0 2.0 0.25 1e-9 1e308 -1e308 inf -inf nan 9223372036854775807 -9223372036854775808
999999999999999999999999 1000000000 100000 3651 0x10 1_000 true false "" "none" "NYSE" "XNYS" "24/7" "ledger" "v5" "realistic"
"natural" "pessimistic" "optimistic" "mid" "trigger" "close_range" "quote" "skip" "chain" "all" "closest_delta" "P" "C" "ALFA"
"highest_premium" "highest_strike" "15:45" "close-15min" "close-9999min" "24:00" "00:00" "12:00" 2024-01-02 2024-02-01 2023-12-01
0001-01-01 9999-12-31 1900-01-01 2100-01-01 2261-12-31 1677-01-01 "2024-01-05" "9999-12-31" 2024-01-02T10:00:00Z 10:00:00
[] [1] [1,3,5] [7] [0] [true] ["ALFA"] ["ALFA","ALFA"] ["X"] [[]] {} {a=1} [1,'a'] "\u0000" "🦄"
[["2024-01-02",0.04]] [["2024-01-02",0.04],["2024-02-02","x"]] [["2023-01-02",0.9]]
""".split()  # noqa: SIM905
FIELDS = [*field_names(), "put.exit_pc", "put.__class__", "call.self", "rules.x", "x.y"]


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A lake for all examples."""
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("toml")
    wv.Market(**demo_tables(symbols=["ALFA"], start="2024-01-02", end="2024-03-01")).write(
        FOLDER / "lake"
    )  # type: ignore[arg-type]


FOLDER = Path()


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Sections with any fields and any values, or what is hardly TOML."""
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return draw(st.text("[]=\"'#\n.{},abc123 \t\x00é", max_size=200)).encode()
    if kind == 2:
        depth = draw(st.sampled_from([10, 500, 5000, 50_000]))
        deep = [
            "a = " + "[" * depth + "]" * depth,
            "a = " + "{a=" * depth + "1" + "}" * depth,
            "a." * depth + "a = 1",
        ]
        return draw(
            st.sampled_from([*deep, '"a" . ' * depth + "a = 1", "[" + "a." * depth + "a]"])
        ).encode()
    sections = (
        {"schedule": ["start_date = 2024-01-02", "end_date = 2024-01-31"]}
        if draw(st.integers(0, 9))
        else {}
    )
    for field in draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True)):
        section, _, name = field.partition(".")
        sections.setdefault(section, []).append(f"{name} = {draw(st.sampled_from(VALUES))}")
    rules = f"rules = {draw(st.sampled_from(VALUES))}\n" if draw(st.integers(0, 9)) == 0 else ""
    written = (
        rules + "".join(f"[{s}]\n" + "\n".join(lines) + "\n" for s, lines in sections.items())
    ).encode()
    if draw(st.integers(0, 19)) == 0:
        place = draw(st.integers(0, len(written)))
        written = written[:place] + draw(st.binary(min_size=1, max_size=2)) + written[place + 1 :]
    return written


@fuzzed(15, 20_000, document=documents())
def test_a_configuration_runs_or_is_refused_in_one_line(document: bytes) -> None:
    (FOLDER / "wheel.toml").write_bytes(document)
    out = FOLDER / "out"
    done = command("run", FOLDER / "wheel.toml", "--lake", FOLDER / "lake", "--out", out)
    if done[0]:
        failed_well(*done)
        assert not out.exists()
        return
    assert max(map(len, done[1].splitlines())) <= 80
    wv.Result.load(out).validate()
    for path in out.iterdir():
        path.unlink()
    out.rmdir()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("a." * 50_000 + "a = 1", "no valid TOML: a key of more than 32 parts"),
        ("a = " + "[" * 50_000, "no valid TOML: nested too deeply"),
        ("[put]\nself = 3", "unknown field of put 'self'"),
        ("[put]\ndte_target = 999999999999999999999999", "put.dte_target = 999999999999999999999999: expected a whole number from 0"),
        ("[call]\ncall_wait_sessions = 1e308", "call.call_wait_sessions = 1e+308: expected a whole number from 0 to 1000000"),
        ("[call]\ndte_max = 1_000_000_000", "call.dte_max = 1000000000: expected a whole number from 0 to 1000000"),
    ],
)  # fmt: skip
def test_what_the_fuzzer_found_is_refused(written: str, message: str) -> None:
    (FOLDER / "wheel.toml").write_text(written, encoding="utf-8")
    done = command("run", FOLDER / "wheel.toml", "--lake", FOLDER / "lake", "--out", FOLDER / "out")
    assert message in failed_well(*done)


@pytest.mark.parametrize(
    "field", ["call.max_cycles", "call.dte_max", "put.dte_max", "call.call_wait_sessions"]
)
def test_the_largest_numbers_run(field: str) -> None:
    market = wv.Market.open(FOLDER / "lake")
    few = {"schedule.start_date": "2024-01-02", "schedule.end_date": "2024-01-05", field: 1_000_000}
    wv.backtest(market, wv.Config().replace(**few)).validate()


def test_a_figure_of_any_size_fits_its_line() -> None:
    costs = "[schedule]\nstart_date = 2024-01-02\nend_date = 2024-01-31\n[costs]\ncommission_per_contract = 1e12\n"
    (FOLDER / "wheel.toml").write_text(costs, encoding="utf-8")
    code, out, _ = command(
        "run", FOLDER / "wheel.toml", "--lake", FOLDER / "lake", "--out", FOLDER / "dear"
    )
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert ",000,000," in out

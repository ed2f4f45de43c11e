"""Bytes of any kind where Parquet is expected: the undamaged result, or a refusal in one line.
Never less data.
"""

import itertools
import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from hypothesis import strategies as st

import wheelvec as wv
from tests.fuzz.build import command, failed_well, fuzzed
from wheelvec.demo.synthetic import demo_tables

FOLDER = Path()
WHOLE: dict[Path, bytes] = {}
TABLES: dict[str, bytes] = {}
RECORDS = pl.DataFrame()
TICKS = itertools.count(1)
CONFIG = "[schedule]\nstart_date = 2024-01-02\nend_date = 2024-01-31\n"


@pytest.fixture(scope="module", autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tables and a lake for all examples, and what they give undamaged."""
    global FOLDER, RECORDS
    FOLDER = tmp_path_factory.mktemp("parquet")
    (FOLDER / "wheel.toml").write_text(CONFIG, encoding="utf-8")
    made = demo_tables(symbols=["ALFA"], start="2024-01-02", end="2024-03-01")
    wv.Market(**made).write(FOLDER / "lake")  # type: ignore[arg-type]
    WHOLE.update({path: path.read_bytes() for path in sorted((FOLDER / "lake").rglob("*.parquet"))})
    RECORDS = wv.backtest(
        wv.Market.open(FOLDER / "lake"), wv.Config.from_toml(FOLDER / "wheel.toml")
    ).records
    assert len(RECORDS) > 0
    for name, frame in made.items():
        few = frame.filter(pl.col("session") <= pl.date(2024, 1, 10))
        few.write_parquet(FOLDER / f"{name}.parquet")
        TABLES[name] = (FOLDER / f"{name}.parquet").read_bytes()


@st.composite
def damages(draw: st.DrawFn) -> tuple[int, str, int, bytes]:
    """Which file (by number), what is done to it, where, and with which bytes."""
    kind = draw(
        st.sampled_from(
            ["flip", "flip", "footer", "footer", "cut", "random", "zero", "splice", "other", "swap"]
        )
    )
    return (
        draw(st.integers(0, 100)),
        kind,
        draw(st.integers(0, 2**31)),
        draw(st.binary(min_size=1, max_size=60)),
    )


def damaged(whole: bytes, others: list[bytes], kind: str, place: int, more: bytes) -> bytes:
    """The bytes after the damage; they may by chance be the same."""
    data, at = bytearray(whole), place % len(whole)
    if kind == "footer":  # where a file says how it is to be read
        length = int.from_bytes(whole[-8:-4], "little") + 8
        at = len(whole) - 1 - place % length
    if kind in ("flip", "footer"):
        data[at] ^= 1 << more[0] % 8
    elif kind == "cut":
        del data[at:]
    elif kind == "random":
        return more * (place % 100)
    elif kind == "zero":
        data[at : at + 50] = bytes(len(data[at : at + 50]))
    elif kind == "splice":
        data[at:at] = more
    elif kind == "swap":  # a valid file of other content
        return others[place % len(others)]
    else:
        pl.DataFrame({"a": [1, 2], "underlying": ["x", None]}).write_parquet(
            FOLDER / "other.parquet"
        )
        return (FOLDER / "other.parquet").read_bytes()
    return bytes(data)


@fuzzed(25, 10_000, damage=damages())
def test_a_damaged_lake_gives_its_result_or_none(damage: tuple[int, str, int, bytes]) -> None:
    number, kind, place, more = damage
    path = list(WHOLE)[number % len(WHOLE)]
    changed = damaged(WHOLE[path], list(WHOLE.values()), kind, place, more)
    path.write_bytes(changed)
    os.utime(
        path, ns=(next(TICKS),) * 2
    )  # a change is seen by the time of the file, and the clock ticks slowly
    try:
        ran = command(
            "run",
            FOLDER / "wheel.toml",
            "--lake",
            FOLDER / "lake",
            "--out",
            FOLDER / "out",
            "--quiet",
        )
        checked = command("check", FOLDER / "lake")
    finally:
        path.write_bytes(WHOLE[path])
        os.utime(path, ns=(next(TICKS),) * 2)
    if changed == WHOLE[path]:
        assert (ran[0], checked[0]) == (0, 0)
        return
    failed_well(*checked)
    assert str(path.relative_to(FOLDER / "lake")) in checked[1]
    if ran[0]:
        assert str(path) in failed_well(*ran)
    else:  # a month that no wheel reaches is not read, but the fingerprint comes from every footer
        assert wv.Result.load(FOLDER / "out").records.equals(RECORDS)
    shutil.rmtree(FOLDER / "out", ignore_errors=True)


@fuzzed(40, 20_000, damage=damages())
def test_a_damaged_table_is_refused_or_imported_whole(damage: tuple[int, str, int, bytes]) -> None:
    """Parquet files have no digest: a changed price may pass for a price. But no row is lost
    without being counted.
    """
    number, kind, place, more = damage
    name = list(TABLES)[number % len(TABLES)]
    path, lake = FOLDER / f"{name}.parquet", FOLDER / "imported"
    path.write_bytes(damaged(TABLES[name], list(TABLES.values()), kind, place, more))
    files = [
        argument
        for table in TABLES
        for argument in (f"--{table.replace('_', '-')}", FOLDER / f"{table}.parquet")
    ]
    try:
        done = command("import", *files, "--lake", lake)
        if done[0]:
            assert name.replace("_", "-") in failed_well(*done).replace("_", "-")
            assert not lake.exists()
        else:
            assert command("check", lake)[0] == 0
    finally:
        path.write_bytes(TABLES[name])
        shutil.rmtree(lake, ignore_errors=True)

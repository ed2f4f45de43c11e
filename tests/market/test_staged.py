"""Parquet files of users, in batches: the lake is the same as that of tables in memory."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fuzz.build import command, failed_well
from tests.market.build import DAY, quotes, symbol, table
from wheelvec.lake import place
from wheelvec.market import batches, staged
from wheelvec.market.market import Market
from wheelvec.model.errors import DataError, InputError, LakeError

ROOT = Path(__file__).resolve().parents[2]
Tables = dict[str, pl.DataFrame]


def odd_tables() -> Tables:
    """Rows of three underlyings, unsorted, with every kind of fault that rows show together:
    duplicates far apart, a root that only other months name, one session whose quotes have no time,
    rows without a day, a name or a contract.
    """
    days = [DAY(f"2023-{month:02d}-{day:02d}") for month in (5, 6, 7) for day in (1, 5, 6, 7, 12)]
    quoted: list[dict[str, Any]] = []
    bars: list[dict[str, Any]] = []
    closes: list[dict[str, Any]] = []
    for i, day in enumerate(days):
        for name, root in (("TSLA", "TSLA"), ("BRK.B", "BRKB"), ("META", "FB")):
            for strike in (190, 200, 210):
                key = {"session": day, "symbol": symbol(strike, root=root)}
                if not (name == "META" and day.month == 7):
                    quoted += [
                        key
                        | {
                            "underlying": name,
                            "bid": 4.0 + i / 8,
                            "ts": None if i == 3 else quote_time(day),
                        }
                    ]
                bars += (
                    [key | {"volume": i}, key | {"volume": i}]
                    if i % 4
                    else [key, key | {"close": 5.0}]
                )
            if name != "META":
                closes.append({"underlying": name, "session": day})
    quoted += [
        {"session": None},
        {"underlying": None},
        {"symbol": "?"},
        {"underlying": ""},
        {"symbol": symbol(root="TSLA1")},
    ]
    quoted += [{"bid": 1.0}, {"bid": 2.0}]  # of equal times the later row stays the later one
    chance = random.Random(7)
    for rows in (quoted, bars, closes):
        chance.shuffle(rows)
    return {
        "option_quotes": quotes(*quoted),
        "option_bars": table("option_bars", *bars),
        "underlying_bars": table("underlying_bars", *closes, {"session": None}),
        "dividends": table("dividends", {}, {}, {"amount": -1.0}),
    }


def quote_time(day: Any) -> Any:
    import datetime as dt

    return dt.datetime.combine(day, dt.time(19, 45), dt.UTC)


def written(frames: Tables, folder: Path, parts: int = 2, **options: Any) -> dict[str, list[Path]]:
    """The tables as Parquet, each in some files."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Path]] = {}
    for name, frame in frames.items():
        for i in range(parts):
            path = folder / f"{name}-{i}.parquet"
            frame[i * len(frame) // parts : (i + 1) * len(frame) // parts].write_parquet(
                path, **options
            )
            found.setdefault(name, []).append(path)
    return found


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows are many."""
    monkeypatch.setattr(staged, "SPILL_BYTES", 8_000)
    monkeypatch.setattr(staged, "CHUNK_ROWS", 100)
    monkeypatch.setattr(batches, "ROWS", 16)


def lake_of(files: dict[str, list[Path]], lake: Path) -> pl.DataFrame:
    with staged.imported(lake, files) as market:
        market.write(lake)
        return market.diagnostics


def files_in(lake: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(lake)): p.read_bytes()
        for p in lake.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def test_batches_give_the_lake_of_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little: None
) -> None:
    frames = odd_tables()
    files = written(frames, tmp_path)
    monkeypatch.setattr(staged, "SPILL_BYTES", 10**9)
    whole = lake_of(files, tmp_path / "whole")
    spilled: list[Path] = []
    working = staged._Spool.spill
    monkeypatch.setattr(
        staged._Spool,
        "spill",
        lambda spool, folder: (spilled.append(folder), working(spool, folder)),
    )
    monkeypatch.setattr(staged, "SPILL_BYTES", 8_000)
    parted = lake_of(files, tmp_path / "parted")
    assert len(spilled) > 4
    assert parted.equals(whole)
    assert parted.equals(Market(**frames).diagnostics)  # type: ignore[arg-type]
    assert set(whole["reason"]) >= {
        "missing_key",
        "missing_ts",
        "conflicting_duplicate",
        "equal_duplicate",
        "adjusted",
    }
    assert files_in(tmp_path / "parted") == files_in(tmp_path / "whole")
    assert (
        Market.open(tmp_path / "parted").fingerprint == Market.open(tmp_path / "whole").fingerprint
    )


def test_a_snapshot_in_batches_is_a_snapshot(tmp_path: Path, little: None) -> None:
    frames = odd_tables()
    frames["option_quotes"] = frames["option_quotes"].drop("ts")
    lake_of(written(frames, tmp_path), tmp_path / "lake")
    Market(**frames).write(tmp_path / "whole")  # type: ignore[arg-type]
    assert files_in(tmp_path / "lake") == files_in(tmp_path / "whole")


def test_what_was_staged_is_gone_whether_it_ends_well_or_not(tmp_path: Path, little: None) -> None:
    files = written(odd_tables(), tmp_path)
    stale = tmp_path / "lake" / place.STAGING / "99.0123abcd"
    stale.mkdir(parents=True)
    (stale / "option_quotes.000000.parquet").write_text("left by a killed import")
    lake_of(files, tmp_path / "lake")
    assert not (tmp_path / "lake" / place.STAGING).exists()
    with (
        pytest.raises(DataError, match="strict=True"),
        staged.imported(tmp_path / "new", files, strict=True),
    ):
        pass
    assert not (tmp_path / "new").exists()


def test_an_import_that_runs_is_not_taken_for_a_stale_one(tmp_path: Path, little: None) -> None:
    files = written(odd_tables(), tmp_path)
    with staged.imported(tmp_path / "lake", files) as one:
        lake_of(files, tmp_path / "lake")  # another, meanwhile
        one.write(tmp_path / "lake")
        assert len(one.option_quotes) > 100


@pytest.mark.parametrize(
    "kind", ["categories", "narrow", "texts", "strings of pyarrow", "encodings"]
)
def test_columns_of_other_kinds_are_read_as_a_frame_would_be(tmp_path: Path, kind: str) -> None:
    frames = odd_tables()
    path = tmp_path / "quotes.parquet"
    held = frames["option_quotes"]
    if kind == "categories":
        held = held.cast(
            {"symbol": pl.Categorical, "underlying": pl.Enum(["TSLA", "BRK.B", "META", ""])}
        )
    elif kind == "narrow":
        held = held.cast({"bid": pl.Float32, "strike": pl.Int16, "session": pl.Datetime("ms")})
    elif kind == "texts":
        held = held.cast({"session": pl.String, "bid": pl.String}).with_columns(
            pl.col("ts").dt.to_string("iso")
        )
    if kind == "strings of pyarrow":
        pq.write_table(
            held.to_arrow().cast(
                pa.schema(
                    [
                        f if f.type != pa.large_string() else f.with_type(pa.string())
                        for f in held.to_arrow().schema
                    ]
                )
            ),
            path,
        )
    elif kind == "encodings":
        pq.write_table(
            held.to_arrow(),
            path,
            use_dictionary=False,
            compression="brotli",
            data_page_version="2.0",
            data_page_size=64,
        )
    else:
        held.write_parquet(path)
    found = pl.concat(batches.read("option_quotes", path))
    assert found.equals(staged.validation.read("option_quotes", held))


# ---- files that are not what they should be


def encrypted(path: Path) -> None:
    pytest.importorskip("pyarrow.parquet.encryption")
    path.write_bytes(path.read_bytes()[:-4] + b"PARE")


def altered(place: int) -> Any:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place] ^= 0xFF
        path.write_bytes(data)

    return change


STRANGE: dict[str, Any] = {
    "no Parquet": lambda p: p.write_text("a,b\n1,2\n" * 100),
    "empty": lambda p: p.write_bytes(b""),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-20]),
    "magic only": lambda p: p.write_bytes(b"PAR1PAR1PAR1"),
    "a footer of zeros": lambda p: p.write_bytes(
        p.read_bytes()[:-200] + bytes(192) + p.read_bytes()[-8:]
    ),
    "encrypted": encrypted,
    "no columns": lambda p: pq.write_table(pa.table({}), p),
    "nested": lambda p: (
        pl.read_parquet(p).with_columns(bid=pl.struct("bid", "ask")).write_parquet(p)
    ),
    "lists": lambda p: (
        pl.read_parquet(p).with_columns(session=pl.concat_list("session")).write_parquet(p)
    ),
    "a column twice": lambda p: pq.write_table(
        pa.table([pa.array([1.0])] * 2, names=["bid", "bid"]), p
    ),
    "bytes for names": lambda p: (
        pl.read_parquet(p).with_columns(pl.col("symbol").cast(pl.Binary)).write_parquet(p)
    ),
    "not UTF-8": lambda p: p.write_bytes(
        p.read_bytes().replace(b"TSLA  230707P", b"TS\xff\xfe  230707P")
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_file_is_refused_in_one_line_and_nothing_is_written(
    case: str, tmp_path: Path
) -> None:
    files = written(
        {name: frame for name, frame in odd_tables().items() if name != "dividends"},
        tmp_path,
        1,
        compression="uncompressed",
    )
    STRANGE[case](files["option_quotes"][0])
    arguments = [
        a for name, paths in files.items() for a in (f"--{name.replace('_', '-')}", *paths)
    ]
    message = failed_well(*command("import", *arguments, "--lake", tmp_path / "lake"))
    assert "option_quotes" in message
    assert not (tmp_path / "lake").exists()


def test_a_long_text_is_held_once_and_stays_unusable(tmp_path: Path) -> None:
    """A megabyte a thousand times is a gigabyte once it is no dictionary any more."""
    held = quotes(*[{"ts": None}] * 1000).to_arrow()
    long = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(1000, np.int32)), pa.array(["x" * 1_000_000])
    )
    held = held.set_column(held.schema.get_field_index("symbol"), "symbol", long)
    pq.write_table(held, tmp_path / "long.parquet")
    found = pl.concat(batches.read("option_quotes", tmp_path / "long.parquet"))
    assert found["symbol"].str.len_chars().unique().to_list() == [300]


def test_too_many_rows_of_one_day_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged, "MOST_ROWS", 50)
    files = written(odd_tables() | {"option_quotes": quotes(*[{}] * 60)}, tmp_path)
    with pytest.raises(
        InputError,
        match=r"option_quotes-1\.parquet: over 50 rows of 2023-06-06: more than can be checked",
    ):
        lake_of(files, tmp_path / "lake")


def test_too_many_rows_of_a_month_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wheelvec.lake.lake._MOST_ROWS", 10)
    with pytest.raises(
        LakeError, match=r"2023-05\.parquet would hold \d+ rows, .* at most 10 are taken"
    ):
        Market(**odd_tables()).write(tmp_path / "lake")  # type: ignore[arg-type]


# ---- memory


MEASURED = """
import json, sys
from tests.memory import peak_kib
from wheelvec.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, peak_kib() // 1024]))
"""


def constant(path: Path, rows: int, days: int) -> int:
    """Quotes that are alike but for their day, in one row group: megabytes of them are a few bytes.
    Returns their size when inflated.
    """
    plain = quotes({"ts": None}).to_arrow()
    day = pa.array((np.arange(rows) * days // rows + 19_000).astype(np.int32)).cast(pa.date32())
    columns = [
        day if name == "session" else pa.repeat(plain[name][0], rows) for name in plain.column_names
    ]
    made = pa.table(columns, names=plain.column_names)
    pq.write_table(made, path, compression="zstd", row_group_size=rows)
    return int(made.nbytes)


def imported(folder: Path, quotes_path: Path, code: str = MEASURED) -> tuple[int, int, str]:
    """Exit code, megabytes at most, and standard error of an import in a separate process."""
    bars = folder / "bars.parquet"
    table("underlying_bars", {}).write_parquet(bars)
    line = [
        "import",
        "--option-quotes",
        quotes_path,
        "--underlying-bars",
        bars,
        "--lake",
        folder / "lake",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, line)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=900,
    )
    code_, megabytes = json.loads(done.stdout.splitlines()[-1])
    return code_, megabytes, done.stderr


@pytest.mark.slow
def test_a_file_that_inflates_to_gigabytes_is_imported_in_little_memory(tmp_path: Path) -> None:
    inflated = constant(tmp_path / "wide.parquet", 12_000_000, 600)
    assert (tmp_path / "wide.parquet").stat().st_size < 1_000_000 < inflated / 1000
    code, megabytes, error = imported(tmp_path, tmp_path / "wide.parquet")
    assert (code, error) == (0, "")
    assert megabytes < 1_500
    assert (
        len(Market.open(tmp_path / "lake", start="2022-03-01", end="2022-03-31").option_quotes)
        == 31 * 20_000
    )


@pytest.mark.slow
def test_a_file_of_one_day_that_inflates_to_gigabytes_is_refused_in_little_memory(
    tmp_path: Path,
) -> None:
    constant(tmp_path / "bomb.parquet", 50_000_000, 1)
    code, megabytes, error = imported(tmp_path, tmp_path / "bomb.parquet")
    assert code == 1
    assert "more than can be checked together" in error
    assert megabytes < 1_500
    assert not (tmp_path / "lake").exists()


def test_memory_does_not_follow_the_file(tmp_path: Path) -> None:
    """The same in short: what the larger file takes more is less than what it inflates to."""
    less = "from wheelvec.market import staged; staged.SPILL_BYTES, staged.CHUNK_ROWS = 10**7, 50_000\n"
    small = imported(tmp_path / "small", named(tmp_path, "small", 100_000), less + MEASURED)
    large = imported(tmp_path / "large", named(tmp_path, "large", 1_500_000), less + MEASURED)
    assert (small[0], large[0]) == (0, 0)
    assert large[1] - small[1] < 220  # as a whole it is over 400


def named(folder: Path, name: str, rows: int) -> Path:
    (folder / name).mkdir()
    inflated = constant(folder / name / "quotes.parquet", rows, 300)
    assert name == "small" or inflated > 140_000_000
    return folder / name / "quotes.parquet"

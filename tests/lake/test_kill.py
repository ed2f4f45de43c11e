"""kill -9 at any time of a fetch or an import: the lake is readable, has all finished rows, and nothing
is paid for twice.
"""

import datetime as dt
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.vendors.feeds import DAYS, REACHED, at, close_of, entry_of, get, small_feed
from tests.vendors.standin import KEY, MINUTE, Standin, compressed, dbn_file, nanos
from tests.vendors.test_fetch import assert_same, content
from wheelvec.market.market import Market
from wheelvec.vendors.databento import fetch as fetching
from wheelvec.vendors.databento.archive import import_dbn

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9"),
]
ROOT = Path(__file__).resolve().parents[2]


def killed(arguments: list[str], moment: Callable[[], bool]) -> bool:
    """Run a child, and kill it as soon as `moment()`; whether it had to be killed."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "DATABENTO_API_KEY": KEY,
        "NO_PROXY": "127.0.0.1",
        "POLARS_MAX_THREADS": "1",
    }
    line = [sys.executable, "-m", "tests.lake.killed", *arguments]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begin\n"
        while child.poll() is None and not moment():
            time.sleep(0.0005)
        child.kill()
    assert child.returncode in (0, -9)
    return child.returncode == -9


def assert_part_of(lake: Path, whole: dict[str, pl.DataFrame]) -> None:
    """Every session that is there is there as it should be, and the lake opens."""
    for name, rows in content(lake).items():
        for (session,), found in rows.group_by("session", maintain_order=True):
            expected = whole[name].filter(pl.col("session") == session)
            if name.startswith("answers"):  # noted table by table
                assert found.join(
                    expected, on=found.columns, how="anti", nulls_equal=True
                ).is_empty(), (name, session)
            else:
                assert found.equals(expected), (name, session)
    if any((lake / name).is_dir() for name in ("option_quotes", "option_bars", "underlying_bars")):
        _ = Market.open(lake).diagnostics


def paid_for(lake: Path) -> set[str]:
    """The start and table of each request whose answer is on disk, as in the stand-in's log."""
    downloads = (lake / ".incoming").rglob("*.zst")
    return {f"{name[0]} {name[1]}" for path in downloads if (name := path.name.split("."))}


def asked_for(server: Standin) -> list[str]:
    tables = {
        "cmbp-1": "option_quotes",
        "ohlcv-1m": "underlying_minutes",
        "ohlcv-1d": "option_bars",
    }
    return [
        f"{tables[schema]} {start[:19].replace('-', '').replace(':', '')}"
        for _, schema, _, start in server.asked()
    ]


def kills_of_a_fetch(number: int, tmp_path: Path, seed: int) -> None:
    chance, kills, lakes = random.Random(seed), 0, 0
    with Standin(small_feed()) as server:
        get(tmp_path / "whole", server.url)
        whole = content(tmp_path / "whole")
        while kills < number:
            lake, mine, repeats = tmp_path / f"lake{lakes}", 0, 0
            lakes += 1
            server.log.clear()
            complete = False
            while not complete and kills < number:
                seen, asked = len(server.log), len(server.asked())
                kept = paid_for(lake)
                requests, delay = chance.randint(1, 14), chance.uniform(0, 0.05)
                due: list[float] = []

                def moment() -> bool:
                    if not due and len(server.log) - seen >= requests:  # noqa: B023
                        due.append(time.monotonic() + delay)  # noqa: B023
                    return bool(due) and time.monotonic() >= due[0]  # noqa: B023

                complete = not killed(["fetch", str(lake), server.url], moment)
                kills, mine = kills + (not complete), mine + (not complete)
                assert not kept & set(
                    asked_for(server)[asked:]
                )  # whatever was on disk was not asked for again
                assert_part_of(lake, whole)
            if not complete:
                get(lake, server.url)
            repeats = len(server.asked()) - len(set(server.asked()))
            assert (
                repeats <= fetching.PARALLEL * mine
            )  # no more than was under way when it was killed
            assert_same(lake, tmp_path / "whole")
            before = len(server.asked())
            assert get(lake, server.url).cost == 0
            assert len(server.asked()) == before
    print(f"{kills} kills of a fetch over {lakes} lakes")


def files_of(folder: Path, days: list[dt.date]) -> list[str]:
    """The small market's days as DBN files of four kinds."""
    folder.mkdir()
    feed, found = small_feed(), []
    for day in days:
        entry, hours = entry_of(day), (at(day, "09:30"), at(day, close_of(day)))
        asks = {
            "quotes": ("OPRA.PILLAR", "cmbp-1", ["TSLA.OPT"], "parent", entry, entry + MINUTE),
            "bars": (
                "OPRA.PILLAR",
                "ohlcv-1d",
                ["TSLA.OPT"],
                "parent",
                nanos(day),
                nanos(day) + 24 * 60 * MINUTE,
            ),
            "minutes": ("EQUS.MINI", "ohlcv-1m", ["TSLA"], "raw_symbol", *hours),
        }
        for name, ask in asks.items():
            data = dbn_file(feed, *ask)
            path = folder / f"{name}-{day}.dbn{'.zst' if name == 'bars' else ''}"
            path.write_bytes(compressed(data) if name == "bars" else data)
            found.append(str(path))
    return found


def kills_of_an_import(number: int, tmp_path: Path, seed: int) -> None:
    chance, kills, lakes = random.Random(seed), 0, 0
    files = files_of(tmp_path / "files", REACHED[:2])
    import_dbn(files, lake=tmp_path / "whole", entry_time="close-15min")
    whole = content(tmp_path / "whole")
    while kills < number:
        lake = tmp_path / f"lake{lakes}"
        lakes += 1
        written, delay = chance.randint(0, 6), chance.uniform(0, 0.15)
        due: list[float] = []

        def moment() -> bool:
            if not due and sum(1 for _ in lake.rglob("*.parquet")) >= written:  # noqa: B023
                due.append(time.monotonic() + delay)  # noqa: B023
            return bool(due) and time.monotonic() >= due[0]  # noqa: B023

        kills += killed(["import", str(lake), *files], moment)
        assert_part_of(lake, whole)
        import_dbn(files, lake=lake, entry_time="close-15min")
        assert_same(lake, tmp_path / "whole")
    print(f"{kills} kills of an import over {lakes} lakes")


def test_a_fetch_killed_three_times(tmp_path: Path) -> None:
    kills_of_a_fetch(3, tmp_path, seed=1)


def test_an_import_killed_twice(tmp_path: Path) -> None:
    kills_of_an_import(2, tmp_path, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_fetch_killed_a_hundred_times(tmp_path: Path, seed: int) -> None:
    kills_of_a_fetch(100, tmp_path, seed=10 + seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_an_import_killed_a_hundred_times(tmp_path: Path, seed: int) -> None:
    kills_of_an_import(100, tmp_path, seed=20 + seed)


def test_what_was_fetched_and_what_is_imported_from_the_same_bytes_are_the_same_rows(
    tmp_path: Path,
) -> None:
    with Standin(small_feed()) as server:
        get(tmp_path / "fetched", server.url)
    import_dbn(
        files_of(tmp_path / "files", REACHED), lake=tmp_path / "imported", entry_time="close-15min"
    )
    assert DAYS[-1] not in REACHED
    assert_same(tmp_path / "fetched", tmp_path / "imported")

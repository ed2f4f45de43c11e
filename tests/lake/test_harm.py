"""Kills, damage, a full disk and four writers at once: a lake has all finished rows, or an error says
what is wrong.
"""

import itertools
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.lake.test_lake import DAYS, SHARED, small_market
from tests.market.build import DAY, market, quotes, symbol, table
from wheelvec.lake import answers, lake, manifest, place, solved
from wheelvec.market import staged
from wheelvec.market.market import Market
from wheelvec.model.errors import LakeError
from wheelvec.model.schemas import SOLVED_CHAIN, SOLVED_COUNTS

ROOT = SHARED.parent / Path(__file__).resolve().parents[2].name
TABLES = ("option_quotes", "option_bars", "underlying_bars")
TICKS = itertools.count(1)


def stored(folder: Path) -> dict[str, bytes]:
    """Every file of a lake that is read back, by its place; not what `check` keeps for itself."""
    found = (
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    )
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if not {place.STAGING, place.SUMMARIES} & set(path.parts)
    }


# ---- kills


def child(*arguments: object) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    line = [sys.executable, "-m", "tests.lake.killed_import", *map(str, arguments)]
    started = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, env=environment)
    assert started.stdout is not None
    assert started.stdout.readline() == b"begin\n"
    return started


def at_call(number: int) -> Callable[..., bool]:
    def run(folder: Path, files: Path, spill: int) -> bool:
        with child(folder, files, number, spill) as started:
            started.wait(120)
        return started.returncode == -9

    return run


def after(seconds: float) -> Callable[..., bool]:
    def run(folder: Path, files: Path, spill: int) -> bool:
        with child(folder, files, 0, spill) as started:
            time.sleep(seconds)
            started.kill()
        return started.returncode == -9

    return run


def kills(number: int, tmp_path: Path, seed: int) -> None:
    """Kill imports of other prices, another strike and another month into a lake that is there."""
    chance = random.Random(seed)
    files, old, new = tmp_path / "files", tmp_path / "old", tmp_path / "new"
    small_market(dividends=None).write(old)
    changed = small_market([DAY("2023-05-31"), *DAYS[:3]], bid=4.0, dividends=None)
    files.mkdir()
    for name in TABLES:
        getattr(changed, name).write_parquet(files / f"{name}.parquet")
    shutil.copytree(old, new)
    started = time.monotonic()
    with child(new, files, 0, 0) as whole:
        assert whole.stdout is not None
        calls = int(whole.stdout.read())
    taken, before, finished, killed, halves = (
        time.monotonic() - started,
        stored(old),
        stored(new),
        0,
        0,
    )
    while killed < number:
        folder, spill = shutil.copytree(old, tmp_path / f"lake{seed}"), chance.randint(0, 1)
        moment = (
            after(chance.uniform(0, taken))
            if chance.random() < 0.3
            else at_call(chance.randint(1, calls))
        )
        killed += moment(folder, files, spill)
        found = stored(folder)
        for name, data in found.items():
            if name.endswith(".parquet"):
                assert data in (before.get(name), finished.get(name)), name
            halves += data != before.get(name)
        assert set(before) <= set(found) <= set(finished)
        assert len(wv.check(folder).refused) == 0
        _ = Market.open(folder).fingerprint
        changed.write(folder)
        assert stored(folder) == finished
        assert not [
            path
            for path in folder.rglob("*")
            if path.suffix == ".tmp" or path.name == place.STAGING
        ]
        shutil.rmtree(folder)
    print(
        f"{killed} kills over {calls} writes and renames, {halves} files were the new ones by then"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_an_import_killed_at_four_moments(tmp_path: Path) -> None:
    kills(4, tmp_path, seed=1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_an_import_killed_at_a_hundred_moments(tmp_path: Path) -> None:
    kills(100, tmp_path, seed=2)


# ---- damage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a file of every kind, not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "lake"
    small_market().write(folder)
    for day in DAYS:
        answers.record(folder, "TSLA", "option_quotes", {day: 4}, ("OPRA.PILLAR", "cmbp-1"))
    for key in ("a" * 32, "b" * 32):
        chain = pl.DataFrame({"root": ["TSLA  "] * 50}, schema_overrides=SOLVED_CHAIN)
        missing = [
            pl.lit(None, kind).alias(name) for name, kind in SOLVED_CHAIN.items() if name != "root"
        ]
        counted = pl.DataFrame([(DAYS[0], 1, 2, True)], schema=SOLVED_COUNTS, orient="row")
        kept = solved.Kept(DAY("2023-06-01"), key, chain.with_columns(missing), counted)
        solved.write(kept_in(folder), [kept])
    return folder


def kept_in(folder: Path) -> Path:
    return folder / solved.FOLDER / "underlying=TSLA"


def read_back(folder: Path) -> list[pl.DataFrame]:
    """All that a lake says, but for its solved chains."""
    opened = Market.open(folder)
    frames = [
        opened.option_quotes,
        opened.option_bars,
        opened.underlying_bars,
        opened.dividends,
        opened.diagnostics,
    ]
    limited = Market.open(folder, symbols=["TSLA"], start="2023-06-02", end="2023-07-03")
    frames += [limited.option_quotes, lake.stored(folder, answers.ANSWERS, "TSLA")]
    assert all(frame is not None for frame in frames)
    return [*frames, pl.DataFrame({"fingerprint": [opened.fingerprint, limited.fingerprint]})]  # type: ignore[list-item]


def kept_chain(folder: Path, letter: str) -> Any:
    there = kept_in(folder)
    return solved.read(there, {DAY("2023-06-01"): letter * 32})


def chains(folder: Path) -> list[Any]:
    found = [kept_chain(folder, key) for key in "ab"]
    return [None if chain is None else [frame.to_dicts() for frame in chain[1:]] for chain in found]


def harmed(data: bytes, other: bytes, kind: str, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "zero":
        length = chance.choice((1, 8, 64, len(data)))
        return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
    return other


def harm(number: int, folder: Path, seed: int, checked: int) -> None:
    """Damage one file after the other, and two by each other's content."""
    chance, before, seen = (
        random.Random(seed),
        stored(folder),
        {"refused": 0, "same": 0, "made anew": 0},
    )
    expected, kept = read_back(folder), chains(folder)
    assert None not in kept
    names = sorted(before)
    for i in range(number):
        name, kind = (
            names[i % len(names)],
            ("flip", "cut", "zero", "swap")[i // len(names) % 4 if number > 100 else i % 4],
        )
        alike = [
            other for other in names if other != name and Path(other).suffix == Path(name).suffix
        ]
        data = harmed(before[name], before[chance.choice(alike)], kind, chance)
        put(folder / name, data)
        refused, same, said = False, False, name
        try:
            same = all(map(pl.DataFrame.equals, read_back(folder), expected))
        except LakeError as error:
            refused, said = True, str(error)
        assert name in said, (name, kind, said)
        found = chains(folder)
        if name.startswith(solved.FOLDER):
            assert same, (name, kind)
            assert all(one in (None, other) for one, other in zip(found, kept, strict=True)), (
                name,
                kind,
            )
            assert data == before[name] or None in found, (name, kind)
            seen["made anew"] += None in found
        else:
            assert refused if data != before[name] else same, (name, kind)
            seen["refused" if refused else "same"] += 1
        if i < checked:
            files = wv.check(folder).files.filter(pl.col("path") == name)["finding"].to_list()
            assert files == (
                []
                if data == before[name]
                else ["passed_over" if name.startswith(solved.FOLDER) else "damaged"]
            )
        put(folder / name, before[name])
    assert all(map(pl.DataFrame.equals, read_back(folder), expected))
    print(f"{number} files harmed of {len(names)}: {seen}")


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    os.utime(
        path, ns=(next(TICKS),) * 2
    )  # a change is seen by the time of the file, and the clock ticks slowly


def test_twenty_five_files_harmed(whole: Path, tmp_path: Path) -> None:
    harm(25, shutil.copytree(whole, tmp_path / "lake"), seed=1, checked=8)


@pytest.mark.slow
def test_two_hundred_files_harmed(whole: Path, tmp_path: Path) -> None:
    harm(200, shutil.copytree(whole, tmp_path / "lake"), seed=2, checked=200)


def test_a_solved_chain_under_another_name_is_not_taken(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "lake")
    for path in list(kept_in(folder).glob("*.parquet")):
        path.rename(path.with_name(path.name.replace("a" * 32, "c" * 32)))
    assert kept_chain(folder, "c") is None
    assert kept_chain(folder, "b") is not None


# ---- four at once


def _write_contracts(root: str, number: int, barrier: Any) -> None:
    held = []
    for strike in range(200 + number, 220, 4):
        rows = [
            {"session": day, "symbol": symbol(strike), "ts": None, "bid": 1.0 + number}
            for day in DAYS
        ]
        bars = table("option_bars", *({"session": day, "symbol": symbol(strike)} for day in DAYS))
        closes = table("underlying_bars", *({"session": day} for day in DAYS))
        held.append(market(option_quotes=quotes(*rows), option_bars=bars, underlying_bars=closes))
    barrier.wait()
    for each in held:
        each.write(root)


def test_four_processes_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    writers = [
        context.Process(target=_write_contracts, args=(str(tmp_path), i, barrier)) for i in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 4
    opened = Market.open(tmp_path)
    expected = sorted(
        (day, symbol(strike), 1.0 + strike % 4) for day in DAYS for strike in range(200, 220)
    )
    assert sorted(opened.option_quotes.select("session", "symbol", "bid").rows()) == expected
    assert len(opened.option_bars) == 20 * len(DAYS)  # type: ignore[arg-type]
    assert len(wv.check(tmp_path).refused) == 0
    assert manifest.read(tmp_path, "TSLA") == {
        name: {DAY("2023-06-01"), DAY("2023-07-01")} for name in TABLES
    }


# ---- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
def test_a_full_disk_is_said_with_the_path_and_costs_nothing_that_is_there(
    small_disk: Path, tmp_path: Path
) -> None:
    folder = small_disk / "lake"
    chance = random.Random(3)
    days = [DAY(f"2023-{month:02d}-0{day}") for month in range(1, 7) for day in (3, 4, 5)]
    many = [
        {
            "session": day,
            "symbol": symbol(strike),
            "ts": None,
            "bid": chance.random(),
            "ask": 1 + chance.random(),
        }
        for day in days
        for strike in range(100, 700)
    ]
    large = market(option_quotes=quotes(*many))
    small_market([DAYS[0]]).write(folder)
    with pytest.raises(
        LakeError,
        match=r"disk/lake/option_quotes/underlying=TSLA/2023-0\d\.parquet: cannot be written: No space",
    ):
        large.write(folder)
    assert not list(folder.rglob("*.tmp"))
    assert len(wv.check(folder).refused) == 0
    assert 4 <= len(Market.open(folder).option_quotes) < len(many)
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    large.write(folder)
    small_market([DAYS[0]]).write(tmp_path / "elsewhere")
    large.write(tmp_path / "elsewhere")
    assert stored(folder) == stored(tmp_path / "elsewhere")


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
def test_a_disk_too_small_to_stage_on_is_said_and_left_empty(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(4)
    rows = [
        {"ts": None, "symbol": symbol(strike), "bid": chance.random(), "ask": 2.0}
        for strike in range(1, 40_001)
    ]
    files = {
        "option_quotes": tmp_path / "quotes.parquet",
        "underlying_bars": tmp_path / "bars.parquet",
    }
    quotes(*rows).write_parquet(files["option_quotes"])
    table("underlying_bars", {}).write_parquet(files["underlying_bars"])
    monkeypatch.setattr(staged, "SPILL_BYTES", 100_000)
    given = {name: [path] for name, path in files.items()}
    with pytest.raises(
        LakeError,
        match=r"lake/\.staging/.*option_quotes\.0000\d\d\.parquet cannot be written: .*[Nn]o space",
    ):
        staged.imported(small_disk / "lake", given).__enter__()
    assert not (small_disk / "lake").exists()

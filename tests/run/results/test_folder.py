"""Folders of results and sweeps: nothing of anybody else's is touched, and whatever is killed, full
or damaged, what can be loaded is the earlier one or the new one, whole.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.run.results import killed
from wheelvec import cli
from wheelvec.lake import files
from wheelvec.model.errors import LakeError
from wheelvec.model.schemas import RESULT_TABLES as KINDS
from wheelvec.run.results.folder import COMMIT, STAGED, Folder, keep_apart
from wheelvec.run.results.index import Index
from wheelvec.run.results.result import RESULT, ResultWriter
from wheelvec.run.results.store import SWEEP, SweepStore

ROOT = Path(__file__).resolve().parents[3]
CONFIG = wv.Config(schedule=wv.Schedule(start_date="2024-01-02", end_date="2024-01-12"))
Outcomes = list[tuple[int, int]]
needs_kills = pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")


@pytest.fixture(scope="module")
def market() -> wv.Market:
    """A small market."""
    return wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-03-15")


@pytest.fixture(scope="module")
def saved(market: wv.Market, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two results of two configurations on one market, saved in folders of these names."""
    folder = tmp_path_factory.mktemp("results")
    for name, commission in (("a", 0.5), ("b", 0.75)):
        wv.backtest(market, CONFIG.replace(**{"costs.commission_per_contract": commission})).save(
            folder / name
        )
    return {name: folder / name for name in "ab"}


def content(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below a folder, hidden ones too, but the lock."""
    found = {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }
    found.pop(files.LOCK, None)
    return found


def whole(folder: Path) -> wv.Result:
    """A result, loaded and read through."""
    result = wv.Result.load(folder)
    for kind in KINDS:
        result._frame(kind)
    result.validate()
    return result


class Forker:
    """A process that forks children; see `killed`."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
        line = [sys.executable, "-W", "ignore", "-m", "tests.run.results.killed"]
        self._process = subprocess.Popen(
            line,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *jobs: tuple[Any, ...], die: int | None = None, after: float | None = None
    ) -> Outcomes:
        """Run jobs side by side: exit codes and steps."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines = [
            {"do": do, "args": arguments, "die": die, "after": after} for do, *arguments in jobs
        ]
        self._process.stdin.write(json.dumps(lines, default=str) + "\n")
        self._process.stdin.flush()
        return [tuple(outcome) for outcome in json.loads(self._process.stdout.readline())]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


# ------------------------------------------------------------------------------------------------------- kills


def kills_of_a_save(
    forker: Forker, saved: dict[str, Path], out: Path, deaths: list[tuple[int | None, float | None]]
) -> str:
    """Kill savers of b over a: what is loaded is a or b, every time, and b can be saved afterwards."""
    alike = {name: content(folder) for name, folder in saved.items()}
    counts = {"killed": 0, "old": 0, "new": 0}
    for die, after in deaths:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(saved["a"], out)
        [(code, _)] = forker.run(("save", saved["b"], out), die=die, after=after)
        assert code in (0, -9)
        counts["killed"] += code == -9
        [(code, _)] = forker.run(
            ("load", out), die=1 + (die or 0) % 7
        )  # and one that finishes the work of the first, perhaps
        assert code in (0, -9)
        whole(out)
        found = {
            name: found for name, found in content(out).items() if not name.startswith(".wheelvec.")
        }
        assert found in alike.values()
        counts["new" if found == alike["b"] else "old"] += 1
        wv.Result.load(saved["b"]).save(out, overwrite=True)
        assert content(out) == alike["b"]
    return f"{counts['killed']} kills of a save: {counts['old']} times the old result, {counts['new']} times the new one"


def kills_of_a_first_save(
    forker: Forker, saved: dict[str, Path], out: Path, deaths: list[int]
) -> None:
    """Kill savers into a folder that is not there: nothing, or the result; and any first write
    takes the folder.
    """
    for die in deaths:
        shutil.rmtree(out, ignore_errors=True)
        [(code, _)] = forker.run(("save", saved["b"], out), die=die)
        assert code == -9
        with contextlib.suppress(LakeError):
            assert whole(out).fingerprint == wv.Result.load(saved["b"]).fingerprint
        if not (out / RESULT.index).exists():
            killed.sweep("a", str(out))
            assert set(content(out)) == {SWEEP.index, *SWEEP.files}


def kills_of_a_sweep(
    forker: Forker,
    out: Path,
    deaths: list[tuple[int | None, float | None]],
    before: str | None = None,
) -> str:
    """Kill sweepers: the same sweep continues to the same frame; what was finished before stays
    until then.
    """
    expected, rows, kept = killed.frame_of("b"), killed.grid_of("b").size, 0
    count = 0
    for die, after in deaths:
        shutil.rmtree(out, ignore_errors=True)
        if before:
            killed.sweep(before, str(out))
        [(code, _)] = forker.run(
            ("sweep", "b", out, *([0.002] if after else [])), die=die, after=after
        )
        assert code in (0, -9)
        count += code == -9
        finished = (out / SWEEP.index).exists() or (out / COMMIT / SWEEP.index).exists()
        if before or finished:
            found = wv.Sweep.load(out).frame
            assert found.equals(expected) or (before and found.equals(killed.frame_of(before)))
        else:
            with pytest.raises(LakeError, match=r"not finished|No such file"):
                wv.Sweep.load(out)
        mine = killed.store_of("b", out)
        if mine.place.unfinished_path.exists():
            kept += sum(last - first for first, last, _ in mine.kept())
        assert_frame_equal(killed.sweep("b", str(out)), expected, check_exact=True)
        assert_frame_equal(wv.Sweep.load(out).frame, expected, check_exact=True)
        assert set(content(out)) == {SWEEP.index, *SWEEP.files}
    return f"{count} kills of a sweep over {before}, {kept} of {rows * len(deaths)} configurations kept"


def timed(number: int, seed: int, most: float) -> list[tuple[int | None, float | None]]:
    chance = random.Random(seed)
    return [(None, chance.uniform(0.0, most)) for _ in range(number)]


def steps_of(forker: Forker, *job: Any) -> int:
    """How many steps a job takes if nobody kills it."""
    [(code, steps)] = forker.run(job)
    assert code == 0
    return steps


@needs_kills
def test_kills_of_a_save(forker: Forker, saved: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(saved["a"], tmp_path / "out")
    steps = steps_of(forker, "save", saved["b"], tmp_path / "out")
    assert steps > 40
    chosen = [
        *range(steps - 12, steps),
        *random.Random(1).sample(range(1, steps - 12), 2),
    ]  # most of all while it commits
    print(
        kills_of_a_save(
            forker, saved, tmp_path / "out", [(n, None) for n in chosen] + timed(2, 2, 0.1)
        )
    )
    kills_of_a_first_save(forker, saved, tmp_path / "first", [2, 5, steps // 2])


@needs_kills
@pytest.mark.parametrize("before", [None, "a"])
def test_kills_of_a_sweep(forker: Forker, tmp_path: Path, before: str | None) -> None:
    if before:
        killed.sweep(before, str(tmp_path / "out"))
    steps = steps_of(forker, "sweep", "b", tmp_path / "out")
    chosen = [*range(1, steps, steps // 6)]
    print(kills_of_a_sweep(forker, tmp_path / "out", [(n, None) for n in chosen], before))


@needs_kills
@pytest.mark.slow
def test_kills_at_every_step_and_at_any_time(
    forker: Forker, saved: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(saved["a"], tmp_path / "out")
    steps = steps_of(forker, "save", saved["b"], tmp_path / "out")
    deaths = [(n, None) for n in range(1, steps + 1)] + timed(60, 3, 0.15)
    print(kills_of_a_save(forker, saved, tmp_path / "out", deaths))
    kills_of_a_first_save(forker, saved, tmp_path / "first", list(range(1, steps - 10)))
    for before in (None, "a"):
        shutil.rmtree(tmp_path / "out")
        if before:
            killed.sweep(before, str(tmp_path / "out"))
        steps = steps_of(forker, "sweep", "b", tmp_path / "out")
        deaths = [(n, None) for n in range(1, steps + 1)] + timed(60, 4, 0.15)
        print(kills_of_a_sweep(forker, tmp_path / "out", deaths, before))


# --------------------------------------------------------------------------------------------- several at once


@needs_kills
def test_four_processes_save_into_one_folder_while_it_is_read(
    forker: Forker, saved: dict[str, Path], tmp_path: Path
) -> None:
    out, alike = tmp_path / "out", [content(folder) for folder in saved.values()]
    shutil.copytree(saved["a"], out)
    outcomes: list[Outcomes] = []
    jobs = [("save", saved["ab"[i % 2]], out) for i in range(4)]
    writers = threading.Thread(target=lambda: outcomes.append(forker.run(*jobs)))
    writers.start()
    while writers.is_alive():
        wv.Result.load(out)  # a or b, never a mixture
        time.sleep(0.005)
    writers.join()
    assert [code for code, _ in outcomes[0]] == [0] * 4
    whole(out)
    assert content(out) in alike


@needs_kills
def test_of_four_processes_that_sweep_into_one_folder_one_does(
    forker: Forker, tmp_path: Path
) -> None:
    for turn in range(3):
        out = tmp_path / str(turn)
        codes = [code for code, _ in forker.run(*[("sweep", "b", out, 0.01)] * 4)]
        assert 0 in codes  # others were refused, or came when it was finished
        assert set(codes) <= {0, killed.BUSY}
        assert_frame_equal(wv.Sweep.load(out).frame, killed.frame_of("b"), check_exact=True)


def test_a_second_writer_is_refused_at_once_and_named(market: wv.Market, tmp_path: Path) -> None:
    first, second = killed.store_of("a", tmp_path / "s"), killed.store_of("a", tmp_path / "s")
    with first.held():
        with pytest.raises(LakeError, match=r"s: another process is writing there"), second.held():
            pass
        with pytest.raises(LakeError, match=r"s: another process is writing there"):
            wv.backtest(market, CONFIG, out=tmp_path / "s")


# ------------------------------------------------------------------------------------------------------- damage


def damaged(whole: bytes, other: bytes, chance: random.Random) -> bytes:
    """The bytes after some damage."""
    data, at = bytearray(whole), chance.randrange(len(whole))
    match chance.choice(["flip", "flip", "cut", "zero", "swap", "nothing", "longer"]):
        case "flip":
            data[at] ^= 1 << chance.randrange(8)
        case "cut":
            del data[at:]
        case "zero":
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        case "swap":
            return other
        case "nothing":
            return b""
        case "longer":
            data[at:at] = chance.randbytes(9)
    return bytes(data)


def tries(folder: Path, number: int, seed: int, same: Callable[[], None]) -> dict[str, int]:
    """Damage one file at a time, or let two change places; `same` must find the right answer or
    raise a LakeError.
    """
    chance = random.Random(seed)
    good = {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != files.LOCK
    }
    counts = {"right": 0, "refused": 0}
    for _ in range(number):
        path, other = chance.sample(list(good), 2)
        path.write_bytes(damaged(good[path], good[other], chance))
        if path.read_bytes() == good[other]:
            other.write_bytes(good[path])
        try:
            same()
            reason = ""
        except LakeError as error:
            reason = str(error)
            assert str(folder) in reason
        counts["refused" if reason else "right"] += 1
        shutil.rmtree(folder)
        for place, data in good.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    return counts


def damages_of_a_result(
    saved: dict[str, Path], folder: Path, number: int, seed: int
) -> dict[str, int]:
    shutil.copytree(saved["a"], folder)
    right = whole(folder)

    def same() -> None:
        found = whole(folder)
        assert (found.config, found.fingerprint, found.versions) == (
            right.config,
            right.fingerprint,
            right.versions,
        )
        assert all(found._frame(kind).equals(right._frame(kind)) for kind in KINDS)

    return tries(folder, number, seed, same)


def damages_of_a_finished_sweep(folder: Path, number: int, seed: int) -> dict[str, int]:
    right = killed.sweep("a", str(folder))

    def same() -> None:
        found = wv.Sweep.load(folder)
        assert found.frame.equals(right)
        assert [found.row_config(i).id for i in range(3)] == [
            killed.grid_of("a").config(i).id for i in range(3)
        ]

    return tries(folder, number, seed, same)


def leave_unfinished(folder: Path, name: str = "a") -> SweepStore:
    store = killed.store_of(name, folder)
    with store.held():
        assert store.begin() is None
        store.keep(0, killed.figures_of(name, 0, 4))
        store.keep(4, killed.figures_of(name, 4, 8))
    return store


def damages_of_an_unfinished_sweep(folder: Path, number: int, seed: int) -> dict[str, int]:
    leave_unfinished(folder)

    def same() -> None:
        assert killed.sweep("a", str(folder)).equals(killed.frame_of("a"))
        assert wv.Sweep.load(folder).frame.equals(killed.frame_of("a"))

    return tries(folder, number, seed, same)


@pytest.mark.parametrize("number", [20, pytest.param(170, marks=pytest.mark.slow)])
def test_damage_ends_in_the_right_answer_or_in_a_refusal(
    saved: dict[str, Path], tmp_path: Path, number: int
) -> None:
    print("result", damages_of_a_result(saved, tmp_path / "r", number, number))
    print("finished", damages_of_a_finished_sweep(tmp_path / "f", number, number))
    print("unfinished", damages_of_an_unfinished_sweep(tmp_path / "u", number, number))


def test_doubtful_chunks_are_computed_again_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = killed.frame_of("a")
    swapped = leave_unfinished(tmp_path / "swapped").place.chunk_files()
    (one, other), content = (swapped[0][3], swapped[1][3]), swapped[0][3].read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert killed.sweep("a", str(tmp_path / "swapped")).equals(expected)
    assert (
        caplog.text.count(
            "altered since it was written, renamed, or of another sweep; these configurations are comp"
        )
        == 2
    )
    caplog.clear()
    renamed = leave_unfinished(tmp_path / "renamed").place.chunk_files()[1][3]
    renamed.rename(
        renamed.with_name(renamed.name.replace("000000004-000000008", "000000008-000000012"))
    )
    another = leave_unfinished(tmp_path / "b", "b").place.chunk_files()[0][3]
    (
        renamed.parent / leave_unfinished(tmp_path / "renamed").place.chunk_files()[0][3].name
    ).unlink()
    shutil.copy(another, renamed.parent)  # sound, with its span, but of another sweep
    for chunk in renamed.parent.glob("000000004-000000008.*"):
        chunk.unlink()
    assert killed.sweep("a", str(tmp_path / "renamed")).equals(expected)
    assert caplog.text.count("or of another sweep; these configurations are computed again") == 2
    caplog.clear()
    store = leave_unfinished(tmp_path / "more")
    data = store.place.chunk_files()[0][3].read_bytes()
    for first, last in (
        (2, 6),
        (10, 14),
        (3, 3),
    ):  # sound by their digests, as an earlier cut of the work may leave them
        digest = store._digest_of_chunk(first, last, data)
        store.place.unfinished_path.with_name(
            f"{first:09d}-{last:09d}.{digest}.parquet"
        ).write_bytes(data)
    foreign = leave_unfinished(tmp_path / "foreign", "b").place.chunk_files()[0][3]
    shutil.copy(
        foreign,
        store.place.unfinished_path.with_name(
            foreign.name.replace("000000000-000000004", "000000008-000000012")
        ),
    )
    assert killed.sweep("a", str(tmp_path / "more")).equals(expected)
    assert (
        caplog.text.count("overlaps another chunk, or ends after the last of 12 configurations")
        == 3
    )
    assert caplog.text.count("or of another sweep") == 1


MALFORMED: dict[str, Any] = {
    "a list": [], "null": None, "a number": 1e400, "empty": {}, "a foreign one": {"my": 1}, "text": "x",
    "nested": "[" * 100_000, "half": '{"format": 2', "a huge number": '{"format": 1' + "0" * 5000 + "}",
    "format 99": {"format": 99}, "no format": {"format": None}, "true": {"format": True},
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [*MALFORMED, "a folder", "a key less", "another type", "a frame less", "another frame"]
)
def test_a_malformed_index_is_an_error_that_names_it(
    case: str, saved: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(saved["a"], tmp_path / "r")
    killed.sweep("a", str(tmp_path / "s"))
    for folder, load, kind in (
        (tmp_path / "r", wv.Result.load, RESULT),
        (tmp_path / "s", wv.Sweep.load, SWEEP),
    ):
        path = folder / kind.index
        written = MALFORMED.get(case)
        if case in MALFORMED:
            more = (
                {**json.loads(path.read_text()), **written}
                if case in ("format 99", "no format", "true")
                else written
            )
            path.write_text(more if isinstance(more, str) else json.dumps(more))
        elif case == "a folder":
            path.unlink()
            path.mkdir()
        else:
            resigned(path, kind, case)
        before = content(folder)
        with pytest.raises(LakeError, match=rf"{kind.index}: "):
            load(folder)
        with pytest.raises(LakeError, match="nothing was written"):
            Folder(folder, kind).examine()
        assert content(folder) == before


def resigned(path: Path, kind: Any, case: str) -> None:
    """Write a malformed index that states its right digest."""
    stated = {
        name: value
        for name, value in json.loads(path.read_text()).items()
        if name not in ("format", "kind", "digest")
    }
    listed = stated.pop("files")
    match case:
        case "a key less":
            stated.pop("fingerprint")
        case "another type":
            stated["config"] = [1]
        case "a frame less":
            listed.pop(next(iter(listed)))
        case "another frame":
            listed["../mine.txt"] = "0" * 32
    path.write_text(Index.of(kind, stated, listed).text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config_id": "0" * 16}, "states configuration|the base configuration is"),
        ({"config": {"put": {"exit_pct": [7]}}}, "cannot be read|states no grid"),
        ({"size": 11}, "do not have 11 rows"),
        ({"columns": ["nope"]}, "states no grid"),
        ({"values": {"put.nope": [1]}}, "states no grid"),
        ({"values": {"put.exit_pct": [0.1]}}, "has values that are not listed"),
        ({"values": {"put.exit_pct": [0.01 * i for i in range(12)]}}, "other configurations than"),
    ],
)
def test_what_an_index_states_is_checked_against_what_it_lists(
    change: dict[str, Any], message: str, saved: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(saved["a"], tmp_path / "r")
    killed.sweep("a", str(tmp_path / "s"))
    for folder, load, kind in (
        (tmp_path / "r", wv.Result.load, RESULT),
        (tmp_path / "s", wv.Sweep.load, SWEEP),
    ):
        if not change.keys() <= kind.fields.keys():
            continue
        path = folder / kind.index
        stated = json.loads(path.read_text()) | change
        path.write_text(
            Index.of(kind, {name: stated[name] for name in kind.fields}, stated["files"]).text()
        )
        with pytest.raises(LakeError, match=message):
            load(folder)


def test_frames_are_checked_when_they_are_read(saved: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(saved["a"], tmp_path / "r")
    result = wv.Result.load(tmp_path / "r")
    shutil.copy(saved["b"] / "records.parquet", tmp_path / "r" / "records.parquet")
    for use in (
        lambda: result.records,
        result.summary,
        lambda: result.wheels,
        lambda: repr(result),
    ):
        with pytest.raises(LakeError, match=r"records\.parquet: altered since it was written"):
            use()
    (tmp_path / "r" / "ledger.parquet").unlink()
    with pytest.raises(LakeError, match=r"ledger\.parquet: missing"):
        _ = result.ledger


# ------------------------------------------------------------------------------------- what is not to be replaced


def small_lake(folder: Path) -> Path:
    """A lake beside `folder`'s neighbours, to be copied where no lake may be written."""
    wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-01-10").write(folder)
    return folder


FOREIGN: dict[str, Callable[[Path], object]] = {
    "notes": lambda f: (f / "notes.txt").write_text("years of work"),
    "a hidden file": lambda f: (f / ".env").write_text("secret"),
    "a hidden folder": lambda f: (f / ".git").mkdir(),
    "an empty folder": lambda f: (f / "src").mkdir(),
    "code beside a foreign result.json": lambda f: [
        (f / "result.json").write_text('{"my":1}'),
        (f / "a.py").write_text("x"),
    ],
    "a foreign result.json": lambda f: (f / "result.json").write_text('{"my":1}'),
    "a foreign sweep.json": lambda f: (f / "sweep.json").write_text('{"my":1}'),
    "a lake": lambda f: shutil.copytree(small_lake(f.parent / "lake"), f, dirs_exist_ok=True),
    "a frame of somebody's": lambda f: pl.DataFrame({"a": [1]}).write_parquet(
        f / "records.parquet"
    ),
    "a folder of a frame's name": lambda f: (f / "records.parquet").mkdir(),
    "a link": lambda f: (f / "records.parquet").symlink_to(ROOT / "README.md"),
    "a link in place of our folder": lambda f: (f / STAGED).symlink_to(ROOT / "docs"),
    "a link in place of our other folder": lambda f: (f / COMMIT).symlink_to(ROOT / "docs"),
    "a file in place of our folder": lambda f: (f / COMMIT).write_text("mine"),
    "a lock with text": lambda f: (f / ".lock").write_text("mine"),
    "temporary files of others": lambda f: (f / ".wheelvec.notes.tmp").write_text("mine"),
    "chunks of others": lambda f: [
        (f / "chunks").mkdir(),
        (f / "chunks" / "000000000-000000009.parquet").write_text("mine"),
    ],
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("beside", ["nothing", "a result", "a sweep"])
def test_anything_else_is_named_and_left_as_it_was(
    case: str, beside: str, saved: dict[str, Path], market: wv.Market, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if beside == "a result":
        shutil.copytree(saved["a"], out, dirs_exist_ok=True)
    elif beside == "a sweep":
        killed.sweep("a", str(out))
    for name in ("records.parquet", files.LOCK):
        (out / name).unlink(missing_ok=True)
    FOREIGN[case](out)
    before = content(out), sorted(path.name for path in out.iterdir())
    result = wv.Result.load(saved["b"])
    for write in (
        lambda: result.save(out, overwrite=True),
        lambda: killed.store_of("b", out).write(killed.frame_of("b"), (), overwrite=True),
        lambda: killed.sweep("b", str(out)),
        lambda: wv.backtest(market, out=out, overwrite=True),
    ):
        with pytest.raises(LakeError, match=r"out.*nothing was written"):
            write()
        assert (content(out), sorted(path.name for path in out.iterdir())) == before


def test_a_file_of_a_result_that_was_altered_is_not_replaced(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(saved["a"], tmp_path / "out")
    (tmp_path / "out" / "summary.json").write_text("my remarks")
    with pytest.raises(LakeError, match=r"summary\.json: altered since it was written"):
        wv.Result.load(saved["a"]).save(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "summary.json").read_text() == "my remarks"


def test_a_file_that_appears_while_the_result_is_computed_is_not_replaced(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    result = wv.Result.load(saved["a"])
    out = tmp_path / "out"
    with ResultWriter(out, result.config, lambda: result.fingerprint) as writer:
        (out / "ledger.parquet").write_text("mine")
        with pytest.raises(LakeError, match=r"ledger\.parquet: altered"):
            writer.close()
    assert content(out) == {"ledger.parquet": b"mine"}


def test_another_result_is_replaced_only_if_asked(saved: dict[str, Path], tmp_path: Path) -> None:
    a, b = (wv.Result.load(folder) for folder in saved.values())
    out = tmp_path / "out"
    a.save(out)
    a.save(out)
    with pytest.raises(
        LakeError,
        match=r"its configuration has other costs.commission_per_contract; .*overwrite=True",
    ):
        b.save(out)
    other = wv.Result(a.config, "f" * 32, a.versions, {kind: a._frame(kind) for kind in KINDS})
    with pytest.raises(LakeError, match=r"it ran over data [0-9a-f]+, the market given holds ffff"):
        other.save(out)
    signalled = wv.Result(
        a.config, a.fingerprint, a.versions, {kind: a._frame(kind) for kind in KINDS}, "digest"
    )
    with pytest.raises(LakeError, match="it ran with another signal"):
        signalled.save(out)
    assert wv.Result.load(out).config == a.config
    signalled.save(out, overwrite=True)
    assert wv.Result.load(out).signals == "digest"
    b.save(out, overwrite=True)
    assert content(out) == content(saved["b"])


def test_a_backtest_is_refused_before_any_work(
    market: wv.Market, saved: dict[str, Path], tmp_path: Path
) -> None:
    called: list[int] = []
    shutil.copytree(saved["a"], tmp_path / "out")
    with pytest.raises(LakeError, match="holds another result"):
        wv.backtest(
            market, CONFIG, out=tmp_path / "out", progress=lambda done, _: called.append(done)
        )
    assert called == []
    day, name = wv.backtest(market, CONFIG).wheels.select("entry_date", "underlying").row(0)
    when = pl.DataFrame({"session": [day], "underlying": [name]})
    first = wv.backtest(market, CONFIG, out=tmp_path / "out", overwrite=True, when=when)
    assert first.wheels.height > 0
    assert (
        wv.backtest(market, CONFIG, out=tmp_path / "out", when=when).signals == first.signals
    )  # the same one
    with pytest.raises(LakeError, match="it ran with another signal"):
        wv.backtest(market, CONFIG, out=tmp_path / "out")


def test_what_was_loaded_can_be_saved_where_it_is(saved: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(saved["a"], tmp_path / "r")
    wv.Result.load(tmp_path / "r").save(tmp_path / "r")
    assert content(tmp_path / "r") == content(saved["a"])
    killed.sweep("a", str(tmp_path / "s"))
    before = content(tmp_path / "s")
    wv.Sweep.load(tmp_path / "s").save(tmp_path / "s")
    wv.Sweep.load(tmp_path / "s").save(tmp_path / "t")
    assert content(tmp_path / "s") == content(tmp_path / "t") == before


def test_an_unfinished_sweep_may_replace_a_finished_one_only_when_it_is_finished(
    tmp_path: Path,
) -> None:
    out = tmp_path / "s"
    killed.sweep("a", str(out))
    store = killed.store_of("b", out)
    with pytest.raises(LakeError, match=r"its grid has other rows.*overwrite=True"):
        store.check(overwrite=False)
    with store.held():
        assert store.begin(overwrite=True) is None
        store.keep(0, killed.figures_of("b", 0, 4))
    assert wv.Sweep.load(out).frame.equals(killed.frame_of("a"))
    with pytest.raises(LakeError, match="holds another sweep"):  # the unfinished one is work too
        killed.store_of("a", out).check(overwrite=False)
    assert killed.sweep("b", str(out)).equals(killed.frame_of("b"))
    assert wv.Sweep.load(out).frame.equals(killed.frame_of("b"))


# --------------------------------------------------------------------------------------------- the former format


def former_result(folder: Path, source: Path) -> None:
    """A result as the former format had it."""
    shutil.copytree(source, folder)
    stated = json.loads((folder / "result.json").read_text())
    listed = {
        name.removesuffix(".parquet"): digest
        for name, digest in stated["files"].items()
        if name.endswith("parquet")
    }
    kept = {name: stated[name] for name in ("config", "config_id", "fingerprint", "versions")}
    (folder / "result.json").write_text(
        json.dumps({"format": 1, **kept, "files": listed}, indent=1)
    )


def test_the_former_format_is_named_and_replaced_only_if_asked(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    former_result(tmp_path / "r", saved["a"])
    with pytest.raises(
        LakeError,
        match=r"result\.json: format 1; this version of wheelvec reads format 2; run it again",
    ):
        wv.Result.load(tmp_path / "r")
    a = wv.Result.load(saved["a"])
    with pytest.raises(
        LakeError,
        match=r"it is of format 1, this version of wheelvec writes format 2.*overwrite=True",
    ):
        a.save(tmp_path / "r")
    a.save(tmp_path / "r", overwrite=True)
    assert content(tmp_path / "r") == content(saved["a"])
    former_result(tmp_path / "mine", saved["a"])
    (tmp_path / "mine" / "summary.json").write_text('["not ours"]')
    with pytest.raises(LakeError, match=r"holds summary\.json, which is not of a saved result"):
        a.save(tmp_path / "mine", overwrite=True)
    killed.sweep("a", str(tmp_path / "s"))
    path = tmp_path / "s" / "sweep.json"
    stated = {
        name: value
        for name, value in json.loads(path.read_text()).items()
        if name not in ("kind", "digest", "config_id")
    }
    path.write_text(json.dumps({**stated, "format": 1}))
    with pytest.raises(LakeError, match=r"sweep\.json: format 1"):
        wv.Sweep.load(tmp_path / "s")
    with pytest.raises(LakeError, match="it is of format 1"):
        killed.store_of("a", tmp_path / "s").check(overwrite=False)
    assert killed.sweep("a", str(tmp_path / "s")).equals(killed.frame_of("a"))
    assert wv.Sweep.load(tmp_path / "s").frame.equals(killed.frame_of("a"))


# ------------------------------------------------------------------------------------- places that can be none


def test_links_files_and_places_that_can_be_none(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (wv.Result.load(folder) for folder in saved.values())
    for name in ("real", "here", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("real")
    a.save(tmp_path / "link")
    b.save(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == content(saved["b"])
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(LakeError, match="dangling: a symbolic link to nothing"):
        a.save(tmp_path / "dangling")
    (tmp_path / "file").write_text("x")
    for place, message in (
        ("file", "file: a file; expected a folder for a result"),
        ("file/out", "file/out: cannot be read: Not a directory"),
    ):
        with pytest.raises(LakeError, match=message):
            a.save(tmp_path / place)
    with pytest.raises(LakeError, match="cannot be read: embedded null"):
        a.save("nul\0")
    monkeypatch.chdir(tmp_path / "here")
    a.save(".")
    loaded = wv.Result.load(".")
    monkeypatch.chdir(tmp_path / "mine")
    assert loaded.records.equals(a.records)  # it does not matter where one has gone meanwhile
    (tmp_path / "mine" / "wheel.toml").write_text("")
    with pytest.raises(LakeError, match=r"\.: holds wheel\.toml"):
        a.save(".")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dangling",
        "file",
        "here",
        "link",
        "mine",
        "real",
    ]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["wheel.toml"]


def test_results_and_lakes_keep_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = tmp_path / "data" / "lake"
    wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-15").write(lake)
    (tmp_path / "link").symlink_to(lake)
    (tmp_path / "wheel.toml").write_text("[schedule]\nend_date = 2024-01-05\n")
    (tmp_path / "grid.toml").write_text("[put]\nexit_pct = [0.5]\n")
    monkeypatch.chdir(tmp_path)
    before, market, config = (
        content(tmp_path),
        wv.Market.open(lake),
        wv.Config.from_toml("wheel.toml"),
    )
    for out in ("data/lake", "data", "data/lake/out", "link", "link/a/b", "."):
        with pytest.raises(LakeError, match="nothing was written, choose a folder beside the lake"):
            keep_apart(out, lake)
        for arguments in (["run", "wheel.toml"], ["sweep", "wheel.toml", "grid.toml"]):
            assert cli.main([*arguments, "--lake", "data/lake", "--out", out, "--overwrite"]) == 1
            assert "nothing was written" in capsys.readouterr().err
        with pytest.raises(LakeError, match="choose a folder beside the lake"):
            wv.backtest(market, config, out=out, overwrite=True)
        with pytest.raises(LakeError, match="choose a folder beside the lake"):
            wv.sweep(market, config, {"put.exit_pct": [0.5]}, out=out, overwrite=True)
        assert content(tmp_path) == before
    keep_apart("data/lake2", lake)
    keep_apart("data/lake", None)
    unstored = wv.demo_market(
        symbols=["ALFA"], start="2024-01-02", end="2024-02-15"
    )  # knows of no lake
    result = wv.backtest(unstored, config)
    for out in ("data/lake/out", "link/a/b"):
        for save in (
            result.save,
            wv.sweep(unstored, config, {"put.exit_pct": [0.5]}).save,
            lambda out: wv.backtest(unstored, config, out=out),
        ):
            with pytest.raises(LakeError, match="choose a folder beside the lake"):
                save(out)
    assert content(tmp_path) == before
    result.save("result")
    with pytest.raises(LakeError, match="a saved result; choose a folder beside it"):
        unstored.write("result/lake")
    assert not (tmp_path / "result" / "lake").exists()


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0,
    reason="needs another user, and only root can be one",
)
def test_folders_of_another_user(forker: Forker, saved: dict[str, Path]) -> None:
    place = Path("/var/tmp") / f"wheelvec-test-{os.getpid()}"  # where another user may come
    try:
        shutil.copytree(saved["a"], place / "out")
        (place / "out" / COMMIT).mkdir()
        for name in ("paths.parquet", RESULT.index):
            (place / "out" / name).rename(place / "out" / COMMIT / name)
        [(code, _)] = forker.run(("refused", place / "out", place))
        assert code == 0
        wv.Result.load(place / "out")  # whoever may write there finishes it
        assert content(place / "out") == content(saved["a"])
    finally:
        shutil.rmtree(place)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if not done or done.returncode:
        pytest.skip("no small file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_and_leaves_what_was_there(full: Path, saved: dict[str, Path]) -> None:
    a, b = (wv.Result.load(folder) for folder in saved.values())
    a.save(full / "out")
    killed.sweep("a", str(full / "s"))
    before = content(full)
    filler = full / "filler"
    space = shutil.disk_usage(full).free
    for left in (0, 4096, 8192, 16384, 24576):
        filler.write_bytes(bytes(space - left))
        for write, place in (
            (lambda: b.save(full / "out", overwrite=True), "out"),
            (lambda: a.save(full / "new"), "new"),
            (lambda: killed.sweep("b", str(full / "s")), "s"),
            (lambda: killed.sweep("b", str(full / "t")), "t"),
        ):
            with contextlib.suppress(LakeError):
                write()
                assert left > 16384, place  # then it fitted
                continue
            with pytest.raises(LakeError, match=rf"{full / place}.*No space left on device"):
                write()
        filler.unlink()
        if content(full) != before:
            whole(full / "out")
            break
    assert killed.sweep("b", str(full / "t")).equals(
        killed.frame_of("b")
    )  # what was left takes it again
    b.save(full / "out", overwrite=True)
    assert content(full / "out") == content(saved["b"])


def test_a_backtest_on_a_full_disk(market: wv.Market, full: Path) -> None:
    (full / "filler").write_bytes(bytes(shutil.disk_usage(full).free - 8192))
    with pytest.raises(LakeError, match=r"out.*: cannot be written: .*No space left on device"):
        wv.backtest(market, CONFIG, out=full / "out")
    assert [path.name for path in full.iterdir()] == ["filler"]

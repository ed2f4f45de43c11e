"""Commands on a Dask cluster: --executor, --dry-run, and what is said of underlyings that failed."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import wheelvec as wv
from wheelvec import cli

WHEEL = "[schedule]\nstart_date = 2024-01-02\nend_date = 2024-04-30\n"
GRID = "[put]\nexit_pct = [0.25, 0.5]\n"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of one worker, a thread of this process."""
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, silence_logs=logging.ERROR, **options
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a configuration, a grid and a lake."""
    monkeypatch.chdir(tmp_path)
    Path("wheel.toml").write_text(WHEEL, encoding="utf-8")
    Path("grid.toml").write_text(GRID, encoding="utf-8")
    wv.demo_market(symbols=["ALFA", "BRVO"], end="2024-05-31").write("lake")
    return tmp_path


SWEEP = ["sweep", "wheel.toml", "grid.toml", "--lake", "lake"]


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def damage(here: Path) -> None:
    """Cut the end off a month of BRVO."""
    month = here / "lake" / "option_quotes" / "underlying=BRVO" / "2024-03.parquet"
    month.write_bytes(month.read_bytes()[:-20])


@pytest.mark.parametrize("away", [False, True])
def test_a_dry_run_prints_the_plan_and_writes_nothing(
    here: Path, scheduler: str, capsys: Capture, away: bool
) -> None:
    before = files_in(here)
    line = [*SWEEP, "--dry-run", *(["--executor", scheduler] if away else [])]
    assert cli.main([*line, "--out", "out"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Plan of a sweep: 2 configurations, 2 underlyings\n")
    assert cli.main([*line, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["jobs"], plan["slices"], plan["order_statistics"]) == (1, 8, "exact")
    assert cli.main([*line, "--csv"]) == 0
    assert "slices,8" in capsys.readouterr().out
    assert files_in(here) == before


def test_a_sweep_without_out_is_asked_for_it(here: Path, capsys: Capture) -> None:
    assert cli.main(SWEEP) == 2
    assert "required: --out" in capsys.readouterr().err


def test_a_sweep_on_a_cluster_is_the_sweep_of_this_process(
    here: Path, scheduler: str, capsys: Capture
) -> None:
    assert cli.main([*SWEEP, "--out", "out", "--no-page", "--executor", scheduler]) == 0
    printed = capsys.readouterr().out
    assert "2 configurations" in printed
    assert "left out of all figures" not in printed
    config = wv.Config.from_toml("wheel.toml")
    expected = wv.sweep(wv.Market.open("lake"), config, {"put.exit_pct": [0.25, 0.5]})
    assert wv.Sweep.load("out").frame.equals(expected.frame)


def test_an_underlying_that_fails_is_listed_wherever_the_sweep_is_read(
    here: Path, scheduler: str, capsys: Capture
) -> None:
    damage(here)
    assert cli.main([*SWEEP, "--out", "out", "--executor", scheduler]) == 3
    printed, errors = capsys.readouterr()
    assert "wheelvec: failed: BRVO: " in errors
    assert errors.splitlines()[-1].startswith("wheelvec: error: 1 underlying left out")
    said = "BRVO: left out of all figures, because of an error"
    assert said in printed
    swept = wv.Sweep.load("out")
    assert swept.failures["underlying"].to_list() == ["BRVO"]
    assert said in swept._repr_html_()
    assert "1 underlying left out" in repr(swept)
    assert said in (here / "out.html").read_text(encoding="utf-8")
    assert cli.main(["show", "out"]) == 0
    assert said in capsys.readouterr().out
    assert cli.main(["show", "out", "--csv"]) == 0
    table, errors = capsys.readouterr()
    assert said in errors
    assert said not in table
    config = wv.Config.from_toml("wheel.toml").replace(**{"schedule.symbols": ["ALFA"]})
    alone = wv.sweep(wv.Market.open("lake"), config, {"put.exit_pct": [0.25, 0.5]})
    assert swept.frame["total_pnl"].equals(alone.frame["total_pnl"])


RUN = ["run", "wheel.toml", "--lake", "lake", "--no-page"]


def test_a_run_and_its_account_on_a_cluster_are_those_of_this_process(
    here: Path, scheduler: str, capsys: Capture
) -> None:
    assert cli.main([*RUN, "--out", "far", "--executor", scheduler]) == 0
    assert cli.main([*RUN, "--out", "near"]) == 0
    for path in Path("near").iterdir():
        assert Path("far", path.name).read_bytes() == path.read_bytes()
    capsys.readouterr()
    account = ["--cash", "60000", "--json"]
    assert cli.main(["simulate", "far", *account, "--executor", scheduler]) == 0
    far = capsys.readouterr().out
    assert cli.main(["simulate", "near", *account]) == 0
    assert far == capsys.readouterr().out


def test_a_run_without_an_underlying_is_incomplete_and_so_is_its_account(
    here: Path, scheduler: str, capsys: Capture
) -> None:
    damage(here)
    assert cli.main([*RUN, "--out", "out", "--executor", scheduler]) == 3
    printed, errors = capsys.readouterr()
    assert "wheelvec: failed: BRVO: " in errors
    assert errors.splitlines()[-1].startswith("wheelvec: error: 1 underlying left out")
    said = "BRVO: left out of all figures, because of an error"
    assert said in printed
    assert cli.main(["show", "out"]) == 0
    assert said in capsys.readouterr().out
    for more in ([], ["--executor", scheduler]):
        assert cli.main(["simulate", "out", "out", "--csv", *more]) == 3
        table, errors = capsys.readouterr()
        assert table.startswith("figure,")
        assert "wheelvec: failed: BRVO: " in errors
        assert "error: 1 underlying left out" in errors

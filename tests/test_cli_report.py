"""`wheelvec report` writes pages from folders alone, and commands write theirs beside a result."""

from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from tests.report import built
from wheelvec import cli
from wheelvec.report.pages import page as pages

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    built.result().save("out")
    return tmp_path


def test_a_page_is_written_from_a_folder(saved: Path, capsys: Capture) -> None:
    assert cli.main(["report", "out", "--out", "x.html"]) == 0
    assert capsys.readouterr().out == "The page is x.html\n"
    assert (saved / "x.html").read_text() == pages.html(built.result())
    assert cli.main(["report", "out/"]) == 0
    assert capsys.readouterr().out == "The page is out.html\n"
    assert cli.main(["report", "out/"]) == 0  # ours is replaced
    built.portfolio().save("a")
    built.portfolio().save("b/a")
    assert cli.main(["report", "a", "b/a", "--out", "both.html"]) == 0
    assert "2 accounts compared" in (saved / "both.html").read_text()


def test_a_file_of_the_user_is_left_alone(saved: Path, capsys: Capture) -> None:
    (saved / "out.html").write_text("mine")
    assert cli.main(["report", "out"]) == 1
    assert "out.html is there, and no page of wheelvec" in capsys.readouterr().err
    given = ["simulate", "out", "--cash", "120000", "--out", "acct"]
    (saved / "acct.html").write_text("mine")
    assert cli.main(given) == 0
    assert "No page: acct.html is there" in capsys.readouterr().out
    assert [(saved / f"{name}.html").read_text() for name in ("out", "acct")] == ["mine"] * 2


def test_a_file_that_is_named_is_left_alone_too(saved: Path, capsys: Capture) -> None:
    """A page in the place of a configuration, for a slip of the name."""
    (saved / "wheel.toml").write_text("[put]\n")
    assert cli.main(["report", "out", "--out", "wheel.toml"]) == 1
    assert "wheel.toml is there, and no page of wheelvec" in capsys.readouterr().err
    with pytest.raises(wv.LakeError, match=r"wheel.toml is there, and no page of wheelvec"):
        wv.page(built.result(), "wheel.toml")
    assert (saved / "wheel.toml").read_text() == "[put]\n"
    (saved / "empty.html").touch()
    assert cli.main(["report", "out", "--out", "empty.html"]) == 0
    assert cli.main(["report", "out", "--out", "empty.html"]) == 0  # ours is replaced


def test_commands_end_by_writing_a_page(saved: Path, capsys: Capture) -> None:
    given = ["simulate", "out", "--cash", "120000", "--out", "acct"]
    assert cli.main([*given, "--no-page"]) == 0
    assert cli.main([*given, "--json"]) == 0
    assert not (saved / "acct.html").exists()
    capsys.readouterr()
    assert cli.main(given) == 0
    assert capsys.readouterr().out.endswith("Its page is acct.html\n")
    assert "What one account would have had" in (saved / "acct.html").read_text()
    again = wv.Portfolio.load("acct")
    assert again.daily.equals(built.portfolio().daily) or again.daily.height > 0


def test_without_the_extra_a_line_says_what_to_install(
    saved: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> str:
        raise ModuleNotFoundError("No module named 'altair'", name="altair")

    monkeypatch.setattr(pages, "html", missing)
    assert cli.main(["simulate", "out", "--cash", "120000", "--out", "acct"]) == 0
    out = capsys.readouterr().out
    assert "No page: charts and pages need packages" in out
    assert "pip install '.[report]'" in out
    assert cli.main(["report", "out"]) == 1
    assert "pip install '.[report]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "no such folder"), (".", "no saved run, sweep or portfolio")],
)
def test_a_folder_without_a_result_is_named(
    folder: str, message: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"x": [1]}).write_csv("x.csv")
    assert cli.main(["report", folder]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1

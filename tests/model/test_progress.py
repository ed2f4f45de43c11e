"""Progress: a bar on a terminal or in a notebook, nothing where output is piped."""

import io
import sys
import types
from typing import Any

import pytest

import wheelvec as wv
from tests.model.test_markup import checked
from wheelvec.model.progress import reporting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_where_output_is_piped(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(True, "months") as report:
        assert report is None
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with reporting(True, "months") as report:
        assert report is not None
        report(1, 4)
        report(2, 4, "months of quotes")
        report(4, 4, 1_000)  # a sweep's cells
    assert "months" in sys.stderr.getvalue()  # type: ignore[attr-defined]


class Shell:
    kernel = "there is one"


class Handle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, html: str) -> None:
        self.shown.append(html)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects that a notebook is given to display."""
    shown: list[str] = []
    display: Any = types.ModuleType("IPython.display")
    display.HTML = lambda text: text

    def first(html: str, display_id: bool) -> Handle:
        shown.append(html)
        return Handle(shown)

    display.display = first
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython, ipython.display = Shell, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_a_notebook_has_a_bar_that_is_kept_without_times(notebook: list[str]) -> None:
    with reporting(True, "months & more") as report:
        assert report is not None
        for done in range(1, 51):
            report(done, 50)
    assert [checked(html).strip() for html in (notebook[0], notebook[-1])] == [
        "1 of 50 months & more", "50 of 50 months & more",
    ]  # fmt: skip
    assert len(notebook) < 10  # a few updates a second
    assert 'value="50" max="50"' in notebook[-1]


def test_a_shell_without_a_kernel_is_no_notebook(
    notebook: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: object())
    with reporting(True, "months") as report:
        assert report is None
    assert notebook == []


def test_a_function_is_called_as_it_is_and_other_values_are_refused() -> None:
    seen: list[tuple[int, int]] = []
    market = wv.demo_market(symbols=["CHRL"], end="2024-03-28")
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
    wv.backtest(market, config, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (1, 1)
    wv.backtest(market, config, progress=True)
    with pytest.raises(wv.InputError, match="progress = 'bar': expected True, False, None"):
        wv.backtest(market, config, progress="bar")  # type: ignore[arg-type]

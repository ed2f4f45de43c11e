"""The pictures of README.md, on the demo market, each for a light and for a dark page.

`python -m tests.docs_pictures` writes them anew into docs/pictures; tests/test_docs_pictures.py
draws them again and compares.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

import wheelvec as wv
from wheelvec.report.plots.theme import DARK_INK, INK, LIGHT_INK, svg

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
INKS = {"light": LIGHT_INK, "dark": DARK_INK}
GRID: dict[str, Any] = {
    "put.exit_pct": [0.25, 0.5, 0.75, 0.9],
    "put.stop_loss_multiplier": [1.5, 2.0, 3.0, None],
}
# those of README.md
CONFIG = wv.Config(
    schedule=wv.Schedule(start_date="2024-01-02", end_date="2024-07-19"),
    put=wv.PutRules(
        dte_min=30, dte_max=45, delta_min=0.25, delta_max=0.35, exit_pct=0.50,
        stop_loss_multiplier=2.0,
    ),
)  # fmt: skip
ACCOUNT = wv.Account(cash=100_000)


@cache
def result() -> wv.Result:
    return wv.backtest(wv.demo_market(), CONFIG)


def equity() -> Any:
    return wv.plots.equity(wv.simulate(result(), ACCOUNT))


def heat() -> Any:
    sweep = wv.sweep(wv.demo_market(), CONFIG, GRID)
    return wv.plots.heat(sweep, "put.exit_pct", "put.stop_loss_multiplier")


def wheel() -> Any:
    """Of the wheels whose shares are called away the first of those with the most calls."""
    calls = result().records.filter(phase="cc").group_by("wheel_id").agg(calls=pl.len())
    found = result().wheels.filter(end_reason="called_away").join(calls, on="wheel_id")
    first = found.sort("calls", "entry_date", "wheel_id", descending=[True, False, False])
    return wv.plots.wheel(result(), first["wheel_id"][0])


PICTURES: dict[str, Callable[[], Any]] = {"equity": equity, "heat": heat, "wheel": wheel}


def drawn(name: str) -> dict[str, str]:
    """A picture by the name of its file."""
    text = svg(PICTURES[name]().to_dict())
    return {f"{name}-{kind}.svg": text.replace(INK, ink) for kind, ink in INKS.items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        for file, text in drawn(name).items():
            (FOLDER / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""The first rows of a sweep by one figure, as a frame that prints the swept fields and figures."""

import html
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, Self

import polars as pl

from wheelvec.model.grid import SIGNAL

# Printed of every row, after the figure of the ranking.
FIGURES = (
    "total_wheels",
    "total_pnl",
    "avg_wheel_roc",
    "win_rate",
    "max_drawdown_proxy",
    "total_pnl_worst",
)
_HEAD = 13  # characters of a heading's line


class Ranking(pl.DataFrame):
    """A DataFrame that prints its `shown` columns under a `note`, as wide as the terminal.

    It has all other columns too. A frame that a method of Polars makes of it prints as Polars does.
    `Sweep.best` returns a Ranking.

    Attributes:
        note: the figure and order of the ranking, in words.
        shown: the names of the columns that are printed.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
        >>> best = swept.best("total_pnl")
        >>> best.shown[:4]
        ('row', 'put.stop_loss_multiplier', 'total_pnl', 'total_wheels')
    """

    note: str
    shown: tuple[str, ...]

    @classmethod
    def of(cls, frame: pl.DataFrame, shown: Sequence[str], note: str) -> Self:
        """`frame` with the `shown` columns first.

        Args:
            frame: one row per configuration.
            shown: the names of the columns to print.
            note: the text to print above them.

        Example:
            >>> import polars as pl
            >>> from wheelvec.run.results.ranking import Ranking
            >>> frame = pl.DataFrame({"wins": [3], "row": [0]})
            >>> Ranking.of(frame, shown=["row"], note="The first row").columns
            ['row', 'wins']
        """
        ranking = cls(frame.select(*shown, pl.exclude(shown)))
        ranking.shown, ranking.note = tuple(shown), note
        return ranking

    def __str__(self) -> str:
        if not hasattr(self, "shown"):
            return super().__str__()
        return self.text(shutil.get_terminal_size().columns)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self, **more: Any) -> str:
        if not hasattr(self, "shown"):
            return super()._repr_html_(**more)
        with pl.Config(
            tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True
        ):
            return f"<p>{html.escape(self.note)}</p>" + self.select(self.shown)._repr_html_()

    def text(self, width: int = 80) -> str:
        """The note and the rows as plain text, in blocks of columns that are no wider than `width`.

        Args:
            width: characters to a line.

        Example:
            >>> import polars as pl
            >>> from wheelvec.run.results.ranking import Ranking
            >>> frame = pl.DataFrame({"row": [0, 1], "total_pnl": [953.5, -120.0]})
            >>> best = Ranking.of(frame, shown=["row", "total_pnl"], note="The greatest total_pnl")
            >>> print(best.text())
            The greatest total_pnl
            <BLANKLINE>
              row  total pnl
                0     953.50
                1    -120.00
        """
        columns = [_column(name, self[name].to_list()) for name in self.shown]
        blocks: list[list[list[str]]] = []
        for column in columns[1:]:
            if not blocks or sum(len(held[0]) + 2 for held in [*blocks[-1], column]) > width:
                blocks.append([columns[0]])
            blocks[-1].append(column)
        lines = [textwrap.fill(self.note, width, break_on_hyphens=False)]
        for block in blocks or [[columns[0]]]:
            high = max(len(column) for column in block)
            padded = [[" " * len(column[0])] * (high - len(column)) + column for column in block]
            lines += [
                "",
                *(
                    "".join("  " + cell for cell in row).rstrip()
                    for row in zip(*padded, strict=True)
                ),
            ]
        return "\n".join(lines)


def _column(name: str, values: list[Any]) -> list[str]:
    """The lines of the heading and the cells of a column, all of the same width."""
    words = name.partition(".")[2] or name
    heading = textwrap.wrap(words.replace("_", " "), _HEAD) or [""]
    cells = [_cell(name, value) for value in values]
    wide = max(map(len, [*heading, *cells]))
    return [text.rjust(wide) for text in [*heading, *cells]]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "none" if "." in name or name == SIGNAL else "-"
    if isinstance(value, float):
        return f"{value:.6g}" if "." in name else f"{value:,.2f}"
    shown = (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool) and "." not in name
        else str(value)
    )
    return shown if len(shown) <= 3 * _HEAD else shown[: 3 * _HEAD - 2] + ".."

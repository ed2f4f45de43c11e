"""Frames made small enough to draw: at most 2,000 points a line, 50 values along a map."""

import polars as pl
import polars.selectors as cs

POINTS, CELLS = 2000, 50


def thinned(frame: pl.DataFrame, columns: list[str], most: int = POINTS) -> pl.DataFrame:
    """At most `most` rows of an ordered frame, the least and greatest values of columns kept.

    The rows are cut into equal parts. Of each part the row with the least and that with the
    greatest value of each column stay, and of the whole frame the first and the last row.

    Args:
        frame: in the order in which it is drawn.
        columns: the columns whose extremes stay.
        most: rows.

    Example:
        >>> from wheelvec.report.plots.thinning import thinned
        >>> spike = pl.DataFrame({"y": [0.0] * 4999 + [9.0] + [0.0] * 5000})
        >>> thinned(spike, ["y"], 100).height <= 100, thinned(spike, ["y"], 100)["y"].max()
        (True, 9.0)
    """
    if frame.height <= most:
        return frame
    parts = max((most - 2) // (2 * len(columns)), 1)
    numbered = frame.with_row_index("_row").with_columns(
        _part=pl.col("_row").cast(pl.Int64) * parts // frame.height
    )
    row = pl.col("_row")
    ends = [
        row.gather(getattr(pl.col(name), f"arg_{end}")()).first().alias(f"{name} {end}")
        for name in columns
        for end in ("min", "max")
    ]
    kept = numbered.group_by("_part").agg(ends).drop("_part").unpivot()["value"].drop_nulls()
    rows = pl.concat([kept, pl.Series([0, frame.height - 1], dtype=kept.dtype)])
    return frame[rows.unique().sort()]


def gathered(values: pl.Series, most: int = CELLS) -> pl.Series:
    """The values of a swept field as labels: numbers in at most `most` groups, in order.

    Args:
        values: of a field, null for none.
        most: distinct labels.

    Returns:
        Integers, the place of each value among the labels of `labels_of`.
    """
    distinct = values.unique().drop_nulls().sort()
    if distinct.len() <= most - 1:
        place = dict(zip(distinct.to_list(), range(distinct.len()), strict=True))
        return values.replace_strict(place, default=distinct.len(), return_dtype=pl.Int64)
    rank = values.rank("dense") - 1
    place_of = (rank.cast(pl.Int64) * (most - 1) // distinct.len()).fill_null(most - 1)
    return place_of.alias(values.name)


def labels_of(values: pl.Series, places: pl.Series) -> dict[int, str]:
    """The text of each place of `gathered`: a value, or the least and greatest of a group."""
    frame = pl.DataFrame({"value": values, "place": places})
    found = frame.group_by("place").agg(least=pl.col("value").min(), most=pl.col("value").max())
    return {
        place: text_of(least) if least == most else f"{text_of(least)} to {text_of(most)}"
        for place, least, most in found.sort("place").iter_rows()
    }


def text_of(value: object) -> str:
    """A value of a field in a few characters."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def numbers(frame: pl.DataFrame) -> list[str]:
    """The columns of numbers."""
    return frame.select(cs.numeric()).columns

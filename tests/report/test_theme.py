"""The SVG of a chart is rounded: its pixels, and no text."""

import altair as alt
import polars as pl

from wheelvec.report.plots.theme import finished, rounded, svg


def test_pixels_are_rounded_and_labels_are_not() -> None:
    drawn = '<path aria-label="a" d="M0.123,4.5678L1,2" opacity="0.13" transform="translate(0.55,9.999)"/>'
    assert rounded(f'{drawn}<text x="1.236">0.25</text>') == (
        '<path d="M0.1,4.6L1,2" opacity="0.13" transform="translate(0.6,10)"/><text x="1.2">0.25</text>'
    )


def test_an_axis_shows_the_values_of_the_frame() -> None:
    frame = pl.DataFrame({"exit_pct": ["0.125", "0.25"], "roc": [-0.053, 0.527]})
    cells = (
        alt.Chart(frame).mark_text().encode(x="exit_pct:N", text=alt.Text("roc:Q", format=".2f"))
    )
    drawn = svg(finished(cells, "a map").to_dict())
    assert all(f">{label}</text>" in drawn for label in ("0.125", "0.25", "−0.05", "0.53"))

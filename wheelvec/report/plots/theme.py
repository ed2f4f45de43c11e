"""The one look of all charts: colours, fonts, and charts that save and show themselves offline.

Text and lines have the colour "currentColor": in a page or a notebook they take that of the text
around them, in light and in dark; files that are saved get fixed colours.
"""

import contextlib
import functools
import hashlib
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import altair as alt
import polars as pl
import polars.selectors as cs
import vl_convert
from altair.utils.schemapi import debug_mode

from wheelvec.model.addresses import refuse_address
from wheelvec.model.atomic import replacing
from wheelvec.model.errors import InputError, LakeError

INK = "currentColor"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
# Okabe & Ito 2008: distinct with any colour vision; here those that stand out on white and on
# near black, and grey for what the data do not say
BLUE, ORANGE, GREEN, RED = "#2b83ba", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, YELLOW, GREY = "#cc79a7", "#56b4e9", "#c9b70f", "#8a8f98"
PALETTE = [BLUE, ORANGE, GREEN, PURPLE, RED, SKY, YELLOW, GREY]
GAIN, LOSS = BLUE, RED
# of maps: losses, nothing, gains; and few to many
DIVERGING = ["#b5480a", "#e89a5e", "#d9d9d9", "#7fb4d9", "#1b6699"]
SEQUENTIAL = ["#dce9f3", "#8fbfe0", "#3f8fc4", "#155a8a"]

LIGHT_INK, DARK_INK = "#1f2328", "#e6e8eb"
HEIGHT = 240  # pixels of a chart, without its axes
WIDTH = 640  # where nothing else decides it
# pixels beside the frame of a chart of several: the vertical axis and its title
BESIDE = 92
PHONE = 54  # characters of a line of small text that a phone shows

_LINES = {"gridColor": INK, "gridOpacity": 0.13, "domainColor": INK, "domainOpacity": 0.4}
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "tickColor": INK,
        "tickOpacity": 0.4,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelLimit": 0,
        "titleLimit": 0,
        "labelOverlap": "greedy",
        "labelSeparation": 6,
        **_LINES,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False, "minExtent": 40, "titlePadding": 12},
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 11,
        "labelLimit": 0,
        "symbolOpacity": 1,
        "columns": {"expr": "width < 430 ? 2 : 4"},
        "columnPadding": 14,
    },
    "title": {
        "anchor": "start",
        "frame": "bounds",
        "color": INK,
        "subtitleColor": INK,
        "fontSize": 13,
        "fontWeight": 600,
        "subtitleFontSize": 11,
        "limit": 0,
        "offset": 8,
    },
    "text": {"color": INK, "fontSize": 11},
    "rule": {"color": INK},
    "line": {"strokeWidth": 1.8},
    "range": {"category": PALETTE, "diverging": DIVERGING, "heatmap": SEQUENTIAL},
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root{{color-scheme:light dark;color:{light};background:#fff}}body{{margin:16px}}
@media(prefers-color-scheme:dark){{:root{{color:{dark};background:#15181c}}}}</style></head>
<body><div id="chart"></div><script>{bundle}</script>
<script>vegaEmbed("#chart",{spec},{{ast:true,actions:false,renderer:"svg"}})</script></body></html>
"""
# attributes of an SVG that are pixels, and numbers finer than tenths of one
_PLACES = re.compile(r' (?:d|transform|points|width|height|[xy][12]?)="[^"]*"')
_GRADIENT = re.compile(r"gradient_\d+")
_FINE = re.compile(r"\d+\.\d\d+")
_IN_SVG = (
    "<style>svg{{color:{light};background:#fff}}"
    "@media(prefers-color-scheme:dark){{svg{{color:{dark};background:#15181c}}}}</style>"
)


class _Offline:
    """The differences from Altair's own charts: the theme, and no network."""

    def to_dict(self, *args: Any, **options: Any) -> dict[str, Any]:
        """The Vega-Lite specification, with the theme if it stands alone."""
        options.setdefault(
            "validate", False
        )  # parts are checked as users change them, and by tests
        with alt.data_transformers.disable_max_rows():  # frames are thinned before they come here
            spec: dict[str, Any] = super().to_dict(*args, **options)  # type: ignore[misc]
        if (options.get("context") or {}).get("top_level", True):
            spec["config"] = _merged(CONFIG, spec.get("config", {}))
        return spec

    def save(self, fp: Any, format: str | None = None, **options: Any) -> None:  # noqa: A002
        """Write the chart to a file, without a network: png, svg, html, or json, pdf as Altair.

        Args:
            fp: the path of the file.
            format: png, svg, html, json or pdf; None: by the ending of the path.
            **options: those of Altair; `scale_factor` of a png is 2 unless given.

        Raises:
            InputError: if the format is not known.
            LakeError: if the file cannot be written.
        """
        if not hasattr(fp, "write"):
            refuse_address(fp, "a picture", "file")
        kind = (format or Path(str(fp)).suffix.lstrip(".")).lower()
        if kind not in ("png", "svg", "html", "json", "pdf"):
            raise InputError(f"save: {fp}: expected a name that ends in .png, .svg or .html")
        if kind in ("json", "pdf") or hasattr(fp, "write"):
            super().save(fp, format=kind, **options)  # type: ignore[misc]
            return
        made: bytes | str
        if kind == "png":
            scale = options.get("scale_factor", 2)
            made = vl_convert.vegalite_to_png(coloured(self.to_dict()), scale=scale)
        elif kind == "svg":
            made = standalone_svg(self.to_dict())
        else:
            made = _page_of(self.to_dict())
        content = made.encode() if isinstance(made, str) else made
        with replacing(Path(fp)) as temporary:
            temporary.write_bytes(content)

    def _repr_mimebundle_(self, *args: Any, **options: Any) -> Any:
        """An SVG in the colour of the text around it, unless another renderer was chosen."""
        if alt.renderers.active != "default":
            return super()._repr_mimebundle_(*args, **options)  # type: ignore[misc]
        return {"text/html": f"<div>{svg(self.to_dict())}</div>", "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"wheelvec.plots: {_text_of(getattr(self, 'title', ''))}"


class _Chart(_Offline, alt.Chart):  # type: ignore[misc]
    pass


class _LayerChart(_Offline, alt.LayerChart):  # type: ignore[misc]
    pass


class _VConcatChart(_Offline, alt.VConcatChart):  # type: ignore[misc]
    pass


_OWN = {alt.Chart: _Chart, alt.LayerChart: _LayerChart, alt.VConcatChart: _VConcatChart}


Draw = TypeVar("Draw", bound=Callable[..., Any])


def unchecked(draw: Draw) -> Draw:
    """The function without Altair's checks of each part, which take most of the time.

    Args:
        draw: makes a chart of parts that are known to be right: tests check whole charts.
    """

    @functools.wraps(draw)
    def quick(*args: Any, **options: Any) -> Any:
        with debug_mode(False):
            return draw(*args, **options)

    return cast(Draw, quick)


def finished(chart: Any, title: str, subtitle: str | list[str] = "", **properties: Any) -> Any:
    """The chart with its title and the theme, which saves and shows itself offline.

    Args:
        chart: of one view, of layers, or of several below one another.
        title: its title.
        subtitle: how to read it.
        **properties: further ones; width and height have defaults for a chart of one view.
    """
    given = [subtitle] if isinstance(subtitle, str) else subtitle
    lines = [line for text in given for line in textwrap.wrap(text, PHONE)]
    heads = textwrap.wrap(title, PHONE - 12)
    headed = alt.TitleParams(heads[0] if len(heads) == 1 else heads, subtitle=lines)
    if not isinstance(chart, alt.VConcatChart):
        properties = {"width": WIDTH, "height": HEIGHT} | properties
    made = chart.properties(title=headed, **properties)
    object.__setattr__(made, "__class__", _OWN[type(made)])
    return made


def drawn(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as charts read it: dates are text, which browsers take for midnight UTC."""
    return frame.with_columns(cs.date().cast(pl.String), cs.float().fill_nan(None))


def by_day(title: str = "", **axis: Any) -> Any:
    """The horizontal axis of a column `session`, in UTC."""
    return alt.X(
        "session:T",
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(title=title or None, labelOverlap="parity", **axis),
    )


def span(days: pl.Series) -> str:
    """The first and the last of some days, for a subtitle: axes leave out the year."""
    found = days.drop_nulls()
    return f"{found.min()!s} to {found.max()!s}" if found.len() else "no session"


def short(title: str) -> Any:
    """An axis of large amounts: 20k, 1.5M."""
    form = "abs(datum.value) < 1000 ? '.4~g' : '~s'"
    return alt.Axis(title=title, labelExpr=f"format(datum.value, {form})")


def either(test: str, one: str, other: str) -> Any:
    """The colour `one` where the test of a row holds, else `other`; without Altair's checks."""
    return alt.ColorValue(other, condition={"test": test, "value": one})


def either_fill(test: str, one: str, other: str) -> Any:
    """As `either`, for the inside of a mark."""
    return alt.FillValue(other, condition={"test": test, "value": one})


def ruled(at: float = 0.0) -> Any:
    """A thin horizontal line."""
    return (
        alt.Chart(pl.DataFrame({"at": [at]}))
        .mark_rule(color=INK, opacity=0.5)
        .encode(y=alt.Y("at:Q"))
    )


def svg(spec: Mapping[str, Any]) -> str:
    """A chart as SVG, its text in the colour of the text around it."""
    return rounded(_numbered(vl_convert.vegalite_to_svg(dict(spec))))


def _numbered(text: str) -> str:
    """An SVG whose gradients are named by what it shows: Vega counts on through a process."""
    name = hashlib.sha256(_GRADIENT.sub("", text).encode()).hexdigest()[:8]
    places = list(dict.fromkeys(_GRADIENT.findall(text)))
    return _GRADIENT.sub(lambda found: f"gradient-{name}-{places.index(found[0])}", text)


def rounded(text: str) -> str:
    """An SVG with tenths of a pixel, and without a name for each bar: half of the size.

    Numbers that are read, as labels, stay as they are.
    """
    bare = re.sub(r' (?:aria-[a-z]+|role|pointer-events)="[^"]*"', "", text)
    return _PLACES.sub(lambda places: _FINE.sub(_tenths, places[0]), bare)


def _tenths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def standalone_svg(spec: Mapping[str, Any]) -> str:
    """A chart as SVG with fixed colours, light or dark as the reader's system is."""
    return inked(svg(spec))


def inked(text: str) -> str:
    """An SVG with fixed ink and background, light or dark as the reader's system is."""
    head, tag, rest = text.partition(">")
    return head + tag + _IN_SVG.format(light=LIGHT_INK, dark=DARK_INK) + rest


def coloured(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification with dark ink on white, for files without a surrounding text."""
    text = json.dumps(spec).replace(INK, LIGHT_INK)
    found: dict[str, Any] = json.loads(text)
    found["background"] = "#ffffff"
    found["config"]["background"] = "#ffffff"
    found.setdefault("padding", 12)
    return found


@functools.cache
def bundle() -> str:
    """Vega, Vega-Lite and its embedding as one script.

    vl-convert takes seconds to make it, so that it is kept beside Python's compiled files, for as
    long as that version is installed.
    """
    kept = Path(__file__).parent / "__pycache__" / f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    empty = {"data": {"values": []}, "mark": "point"}
    page = vl_convert.vegalite_to_html(empty, bundle=True)
    begin = page.index(">", page.index("<script")) + 1
    script: str = page[begin : page.index("</script>", begin)]
    with contextlib.suppress(LakeError), replacing(kept, lasting=False) as temporary:
        temporary.write_text(script, encoding="utf-8")
    return script


def _page_of(spec: Mapping[str, Any]) -> str:
    text = json.dumps(spec).replace("<", "\\u003c")
    title = _text_of(spec.get("title", "")).replace("<", "&lt;")
    return _PAGE.format(title=title, light=LIGHT_INK, dark=DARK_INK, bundle=bundle(), spec=text)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for name, value in over.items():
        if isinstance(value, Mapping) and isinstance(found.get(name), Mapping):
            found[name] = _merged(found[name], value)
        else:
            found[name] = value
    return found


def _text_of(title: Any) -> str:
    found = title.get("text", "") if isinstance(title, Mapping) else getattr(title, "text", title)
    return found if isinstance(found, str) else " ".join(found or [])

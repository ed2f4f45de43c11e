"""A page as one HTML file: templates, scripts, and a policy that lets it ask for nothing."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wheelvec.model.version import VERSION
from wheelvec.report.pages.elements import MARK, Chart, Link, Page, Section, Story, Table
from wheelvec.report.plots.theme import BESIDE, bundle, svg

STATIC = 460  # pixels of the static images, which are scaled to the column


def chart(name: str, drawn: Any, alt: str) -> Chart:
    """A chart for a page, with its static image.

    Args:
        name: its id.
        drawn: an Altair chart of `wheelvec.report.plots`.
        alt: a description in words.
    """
    spec = drawn.to_dict()
    return Chart(name, spec, svg(sized(spec, STATIC)), alt)


def sized(spec: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The specification for a static image of about so many pixels.

    It is not fitted as the page's script does it: that lays charts out twice, vl-convert once, and
    where a legend wraps the title was cut off.
    """
    if "vconcat" in spec:
        inner = [{**each, "width": width - BESIDE} for each in spec["vconcat"]]
        return {**spec, "vconcat": inner}
    return {**spec, "width": width - BESIDE}


def html_of(page: Page) -> str:
    """The page as HTML, complete."""
    script, code = bundle(), _file("page.js")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; script-src {_digest(script)} {_digest(code)}"
    )
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            policy=policy,
            style=Markup(_file("style.css")),
            bundle=Markup(script),
            code=Markup(code),
            mark=MARK,
            version=VERSION,
            kind=_kind,
            is_link=lambda cell: isinstance(cell, Link),
            as_json=_as_json,
            runs=_runs,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("wheelvec.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _kind(element: object) -> str:
    kinds = {str: "text", Table: "table", Chart: "chart", Story: "story"}
    return kinds[type(element)]


def _runs(section: Section) -> list[list[Any]]:
    """The elements of a section, charts that follow one another together."""
    found: list[list[Any]] = []
    for element in section.elements:
        if isinstance(element, Chart) and found and isinstance(found[-1][0], Chart):
            found[-1].append(element)
        else:
            found.append([element])
    return found


def _as_json(value: Any) -> Markup:
    """JSON that cannot end the element it stands in, nor begin another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _digest(script: str) -> str:
    """The script's digest as the policy names it."""
    found = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(found).decode()}'"


@cache
def _file(name: str) -> str:
    return (files("wheelvec.report") / "templates" / name).read_text(encoding="utf-8")

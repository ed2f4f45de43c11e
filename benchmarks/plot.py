"""Small line charts as SVG, both axes logarithmic, each line named at its end, which the charts of
`wheelvec.plots` do not do; in the colours of those, light or dark as the reader's system is.
"""

import math
from dataclasses import dataclass
from html import escape

from wheelvec.report.plots.theme import FONT, INK, PALETTE, inked

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 204, 20, 56
APART = 15  # pixels between the names of lines
COLOURS = (*PALETTE, "#9a7fd1", "#c0504d")


@dataclass(frozen=True)
class Line:
    """A named line through points of positive numbers; `strong` draws it thick, in ink, `joined`
    False only its points.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    strong: bool = False
    joined: bool = True


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis over whole decades, from pixel `start` to pixel `end`."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: list[float], start: float, end: float) -> "_Axis":
        low = math.floor(math.log10(min(values)) + 1e-9)
        return cls(low, max(math.ceil(math.log10(max(values)) - 1e-9), low + 1), start, end)

    def at(self, value: float) -> float:
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (
            self.end - self.start
        )

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def chart(title: str, x_name: str, y_name: str, lines: list[Line]) -> str:
    """The SVG text."""
    x = _Axis.over([px for line in lines for px, _ in line.points], LEFT, WIDTH - RIGHT)
    y = _Axis.over([py for line in lines for _, py in line.points], HEIGHT - BOTTOM, TOP)
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    style = f'font-family="{escape(FONT)}" font-size="13" fill="{INK}" role="img"'
    turned = f'transform="translate(18 {middle_y:.0f}) rotate(-90)"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_grid(x, y),
        f'<text x="{middle_x:.0f}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text {turned} text-anchor="middle">{escape(y_name)}</text>',
    ]
    colours = {
        line.name: INK if line.strong else COLOURS[i % len(COLOURS)] for i, line in enumerate(lines)
    }
    for line in lines:
        parts += _drawn(line, colours[line.name], x, y)
    return inked("\n".join([*parts, *_names(lines, colours, x, y), "</svg>"]) + "\n")


def _grid(x: _Axis, y: _Axis) -> list[str]:
    parts = []
    for value in x.decades:
        at = x.at(value)
        parts.append(
            f'<line x1="{at:.1f}" y1="{y.start}" x2="{at:.1f}" y2="{y.end}" stroke="{INK}" stroke-opacity="0.13"/>'
        )
        parts.append(
            f'<text x="{at:.1f}" y="{y.start + 18}" text-anchor="middle">{value:,.9g}</text>'
        )
    for value in y.decades:
        at = y.at(value)
        parts.append(
            f'<line x1="{x.start}" y1="{at:.1f}" x2="{x.end}" y2="{at:.1f}" stroke="{INK}" stroke-opacity="0.13"/>'
        )
        parts.append(
            f'<text x="{x.start - 8}" y="{at + 4:.1f}" text-anchor="end">{value:,.9g}</text>'
        )
    return parts


def _drawn(line: Line, colour: str, x: _Axis, y: _Axis) -> list[str]:
    points = [(x.at(px), y.at(py)) for px, py in line.points]
    width = 3 if line.strong else 1.5
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    joined = (
        [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>']
        if line.joined
        else []
    )
    radius = width + 1 if line.joined else 5
    return joined + [
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius}" fill="{colour}"/>' for px, py in points
    ]


def _names(lines: list[Line], colours: dict[str, str], x: _Axis, y: _Axis) -> list[str]:
    """Names in the right margin, level with where the lines end, moved apart where they would meet."""
    wanted = sorted((y.at(line.points[-1][1]), line.name) for line in lines)
    placed: list[tuple[float, str]] = []
    for at, name in wanted:
        placed.append((max(at, placed[-1][0] + APART) if placed else at, name))
    over = max(placed[-1][0] - (HEIGHT - 8), 0.0)
    ends = {line.name: x.at(line.points[-1][0]) for line in lines}
    heights = {name: at for at, name in wanted}
    parts = []
    for at, name in placed:
        edge, level = x.end + 16, at - over
        leader = (
            f'x1="{ends[name] + 5:.1f}" y1="{heights[name]:.1f}" x2="{edge - 2}" y2="{level:.1f}"'
        )
        parts.append(
            f'<line {leader} stroke="{colours[name]}" stroke-width="1.3" stroke-dasharray="2 2"/>'
        )
        weight = ' font-weight="bold"' if colours[name] == INK else ""
        parts.append(
            f'<rect x="{edge}" y="{level - 4:.1f}" width="8" height="8" fill="{colours[name]}"/>'
        )
        at_text = f'x="{edge + 13}" y="{level + 4:.1f}"'
        parts.append(f"<text {at_text}{weight}>{escape(name)}</text>")
    return parts

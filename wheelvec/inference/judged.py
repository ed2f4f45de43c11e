"""The object that `verdict` returns: its lines, as text, HTML and a dict."""

import dataclasses
import html
from typing import Any, NamedTuple

import polars as pl

from wheelvec.inference.lines import (
    BOOTSTRAP,
    DEFLATED,
    FAILS,
    HOLDS,
    STEPDOWN,
    SUPERIOR,
    UNSAID,
    Line,
)
from wheelvec.inference.trials import Trials
from wheelvec.inference.tried import Tried
from wheelvec.inference.words import wrapped
from wheelvec.run.results.shown import warnings_html, warnings_text
from wheelvec.run.results.warnings import Warnings, brief

ANSWER = 16  # columns
HEADER = ("", "question", "figure", "holds if", "answer", "")
BY_LUCK = (DEFLATED[1], SUPERIOR[1], STEPDOWN[1])
FLATTERED = (
    "Lines of costs, fills, time, stock and data are of the one that was chosen, and flattered by "
    "its choice. Those of selection count the choice, but hold too often where large losses are "
    "rare (docs/luck.md says how often)."
)
SCHEMA = {
    "topic": pl.String,
    "name": pl.String,
    "figure": pl.String,
    "compared": pl.String,
    "answer": pl.String,
    "says": pl.String,
    "value": pl.Float64,
    "bound": pl.Float64,
}


class Verdict(NamedTuple):
    """Whether the chosen configuration of a sweep survives, line by line.

    `verdict` makes one. There is no score: lines are not alike, and none makes good for another.

    Attributes:
        row: the configuration, its first row of the sweep.
        fields: the swept fields of it, without seeds.
        chosen: how it was chosen, in words.
        tried: the trials before it.
        lines: each a figure, what it was compared with, and the answer.
        trials: with the deflated Sharpe ratio by number of trials; None: cannot be said.
        warnings: of the sweep: odd facts of the data or the run that every line rests on.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> found = wv.verdict(wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}))
        >>> found.row, found.fields, found.survives  # four sessions: nothing can be said
        (0, {'put.exit_pct': 0.25}, None)
    """

    row: int
    fields: dict[str, Any]
    chosen: str
    tried: Tried
    lines: tuple[Line, ...]
    trials: Trials | None = None
    warnings: Warnings = ()

    @property
    def survives(self) -> bool | None:
        """True if every line holds, False if one does not; None if one cannot be said.

        Example:
            >>> from wheelvec.inference.judged import Verdict
            >>> from wheelvec.inference.tried import Tried
            >>> Verdict(0, {}, "", Tried(*[1] * 10), ()).survives
            True
        """
        answers = [line.holds for line in self.lines]
        return False if False in answers else None if None in answers else True

    @property
    def frame(self) -> pl.DataFrame:
        """One row a line: topic, name, figure, compared, answer, says, value and bound.

        Example:
            >>> from wheelvec.inference.judged import Verdict
            >>> from wheelvec.inference.tried import Tried
            >>> Verdict(0, {}, "", Tried(*[1] * 10), ()).frame.columns[:4]
            ['topic', 'name', 'figure', 'compared']
        """
        rows = [
            {name: getattr(line, name) for name in SCHEMA if name != "answer"}
            | {"answer": line.answer}
            for line in self.lines
        ]
        return pl.DataFrame(rows, schema=SCHEMA)

    @property
    def says(self) -> list[str]:
        """The conclusion of the lines, in sentences.

        Example:
            >>> from wheelvec.inference.judged import Verdict
            >>> from wheelvec.inference.lines import Line
            >>> from wheelvec.inference.tried import Tried
            >>> spa = Line("selection", "SPA", "p 0.412", "p under 0.05", False, "")
            >>> Verdict(0, {}, "", Tried(*[1] * 10), (spa,)).says[0]
            'It does not survive: SPA.'
        """
        fails, unsaid = self._names(FAILS), self._names(UNSAID)
        found = []
        if fails:
            found.append(f"It does not survive: {', '.join(fails)}.")
        if any(line.name in BY_LUCK and line.holds is False for line in self.lines):
            found.append(
                "With the choice among so many counted, luck is not ruled out; nor is an edge."
            )
        if unsaid:
            found.append(f"Cannot be said: {', '.join(unsaid)}.")
            if not fails:
                found.append(
                    "No line that can be said speaks against it; none of the others speaks for it."
                )
        if BOOTSTRAP[1] in unsaid:
            found.append(
                "How much of it was the luck of this market is not known: a line that holds is of "
                "this sample alone."
            )
        if self.survives:
            found.append(
                "Every line holds. That is no proof: it is one sample. Of what was tried before "
                "this sweep only the deflated Sharpe ratio knows, and only what prior_trials "
                "counts."
            )
        if any(line.holds and line.topic != "selection" for line in self.lines):
            found.append(FLATTERED)
        return found

    def _names(self, answer: str) -> list[str]:
        return [line.name for line in self.lines if line.answer == answer]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values.

        Example:
            >>> from wheelvec.inference.judged import Verdict
            >>> from wheelvec.inference.tried import Tried
            >>> sorted(Verdict(0, {}, "", Tried(*[1] * 10), ()).to_dict())
            ['chosen', 'fields', 'lines', 'row', 'says', 'survives', 'tried', 'warnings']
        """
        return {
            "row": self.row,
            "fields": dict(self.fields),
            "chosen": self.chosen,
            "tried": self.tried._asdict(),
            "survives": self.survives,
            "says": self.says,
            "lines": self.frame.to_dicts(),
            "warnings": [dataclasses.asdict(warning) for warning in self.warnings],
        }

    @property
    def title(self) -> str:
        """Which configuration is judged, and how it was chosen.

        Example:
            >>> from wheelvec.inference.judged import Verdict
            >>> from wheelvec.inference.tried import Tried
            >>> Verdict(3, {"put.exit_pct": 0.25}, "as given", Tried(*[1] * 10), ()).title
            'Row 3 (put.exit_pct 0.25): as given'
        """
        fields = ", ".join(f"{name} {value}" for name, value in self.fields.items())
        return f"Row {self.row}" + (f" ({fields})" if fields else "") + f": {self.chosen}"

    def to_markdown(self) -> str:
        """A page in Markdown: what was tried, the lines, what they come to, and warnings.

        Example:
            >>> from wheelvec.inference.judged import Verdict
            >>> from wheelvec.inference.tried import Tried
            >>> Verdict(0, {}, "", Tried(*[1] * 10), ()).to_markdown().splitlines()[0]
            '## Verdict'
        """
        parts = ["## Verdict", self.title, "\n".join(f"- {each}" for each in self.tried.says)]
        table = [HEADER, ("---",) * len(HEADER), *self._rows]
        parts.append(
            "\n".join("| " + " | ".join(_cell(each) for each in row) + " |" for row in table)
        )
        parts.append(" ".join(self.says))
        if self.warnings:
            parts += ["### Warnings", "\n".join(f"- {each}" for each in brief(self.warnings))]
        return "\n\n".join(parts) + "\n"

    def __str__(self) -> str:
        lines = [
            *wrapped(self.title),
            *(each for text in self.tried.says for each in wrapped(text, "  ")),
            "",
        ]
        for line in self.lines:
            head = f"{line.topic}: {line.name}"
            found = f"{line.figure}; holds if {line.compared}" if line.figure else ""
            lines.append(f"{line.answer:<{ANSWER}}{head}")
            for text in filter(None, (found, line.says)):
                lines += wrapped(text, " " * ANSWER)
        lines += ["", *(each for text in self.says for each in wrapped(text))]
        if self.warnings:
            lines += ["", *warnings_text(self.warnings)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{answer}: {', '.join(names)}"
            for answer in (FAILS, UNSAID, HOLDS)
            if (names := self._names(answer))
        )
        odd = f"; {len(self.warnings)} warnings" if self.warnings else ""
        return f"<Verdict of row {self.row}; {counts}{odd}>"

    def _repr_html_(self) -> str:
        # no table of model.markup, whose cells keep their blanks: these are sentences
        items = "".join(f"<li>{html.escape(each)}</li>" for each in self.tried.says)
        head = "".join(f"<th>{html.escape(each)}</th>" for each in HEADER)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(each)}</td>" for each in row) + "</tr>"
            for row in self._rows
        )
        said = html.escape(" ".join(self.says))
        return (
            f"<p>{html.escape(self.title)}</p><ul>{items}</ul>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{said}</p>"
            + warnings_html(self.warnings)
        )

    @property
    def _rows(self) -> list[tuple[str, ...]]:
        """The lines as rows of a table."""
        return [
            (line.topic, line.name, line.figure, line.compared, line.answer, line.says)
            for line in self.lines
        ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

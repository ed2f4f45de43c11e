"""The page of a verdict: each line with its answer, what was tried, and what it says of luck."""

from collections.abc import Iterable, Iterator

from wheelvec.inference.judged import Verdict
from wheelvec.inference.lines import DECIDES, DEFLATED, FAILS, HOLDS, SURE, UNSAID, Line
from wheelvec.inference.trials import Trials
from wheelvec.report.pages.elements import Cell, Element, Figure, Link, Page, Section, Table, shown
from wheelvec.report.pages.rendering import chart
from wheelvec.report.plots.luck import deflated

ENOUGH = 1e9  # trials up to which the greatest number that holds is sought
SHARES = {HOLDS: 0.6, FAILS: -0.6}


def verdict_page(verdict: Verdict) -> Page:
    """The page of a verdict."""
    sections = [
        Section("lines-section", "Line by line", [lines_table("lines", verdict.lines)]),
        Section("tried", "What was tried", [*_tried(verdict)]),
    ]
    return Page(
        "A verdict",
        f"{verdict.title}.",
        _top(verdict),
        [*verdict.says, *(warning.text for warning in verdict.warnings)],
        sections,
        "Holds: this reason to doubt is not found in these data. There is no score: no line makes "
        "good for another.",
    )


def lines_table(name: str, lines: Iterable[Line]) -> Table:
    """Lines of a verdict: the question, its figure, what it is compared with, and the answer.

    Args:
        name: the id of the table.
        lines: of a verdict.
    """
    columns = ("", "question", "answer", "figure", "holds if", "what it means")
    rows = [
        (each.topic, each.name, _answer(each), each.figure or "-", each.compared, each.says)
        for each in lines
    ]
    return Table(name, "", columns, rows, plain=True, wrapped=True)


def _answer(line: Line) -> Cell:
    return Link(line.answer, share=SHARES.get(line.answer))


def _top(verdict: Verdict) -> list[Figure]:
    counts = [(answer, _names(verdict, answer)) for answer in (HOLDS, FAILS, UNSAID)]
    tried = verdict.tried
    found = [
        Figure(answer.capitalize(), f"{len(names)} of {len(verdict.lines)}", ", ".join(names))
        for answer, names in counts
    ]
    worth = "-" if tried.effective_rank is None else f"{tried.effective_rank:,.1f}"
    found.append(Figure("Independent trials", worth, f"of {tried.configurations:,} configurations"))
    alone = tried.independent_wheels
    wheels = "-" if alone is None else f"{alone:,.0f}"
    found.append(Figure("Independent wheels", wheels, f"of {tried.wheels:,.0f} that overlap"))
    return found


def _names(verdict: Verdict, answer: str) -> list[str]:
    return [line.name for line in verdict.lines if line.answer == answer]


def _tried(verdict: Verdict) -> Iterator[Element]:
    yield from (f"{each}." for each in verdict.tried.says)
    if verdict.trials is None:
        why = next((line.says for line in verdict.lines if line.name == DEFLATED[1]), "")
        yield f"The deflated Sharpe ratio by number of trials cannot be said: {why}."
        return
    yield _number_of_trials(verdict.trials)
    yield chart("trials-chart", deflated(verdict.trials), _in_words(verdict.trials))


def _number_of_trials(trials: Trials) -> Table:
    rows = [
        (
            method.replace("_", " ") + (" (decides)" if method == DECIDES else ""),
            *("-" if each is None else text.format(each)
              for each, text in zip(values, ("{:,.1f}", "{:.3f}", "{:.3f}"), strict=True)),
        )
        for method, *values in trials.frame.rows()
    ]  # fmt: skip
    own = f"its own Sharpe ratio: {trials.sharpe:.3f} a month over {trials.periods} months"
    note = f"{own}; {most(trials)}"
    columns = ("counted by", "trials", "Sharpe ratio by luck", "deflated Sharpe ratio")
    return Table("trials", "The best of how many", columns, rows, note=note, plain=True)


def most(trials: Trials) -> str:
    """The greatest number of trials at which the deflated Sharpe ratio is enough, in words.

    Args:
        trials: of a verdict.
    """
    if trials.deflated(1.0) < SURE:
        return f"not {SURE} even if nothing else had been tried"
    if trials.deflated(ENOUGH) >= SURE:
        return f"at least {SURE} at any number of trials"
    low, high = 1.0, ENOUGH
    while high > low + 0.5 and high > 1.001 * low:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if trials.deflated(middle) >= SURE else (low, middle)
    return f"at least {SURE} up to {shown(int(low))} trials"


def _in_words(trials: Trials) -> str:
    each = "; ".join(
        f"{value:.3f} at {number:,.1f} ({method.replace('_', ' ')})"
        for method, number, value in trials.frame.drop_nulls()
        .select("method", "trials", "deflated_sharpe")
        .rows()
    )
    return f"Deflated Sharpe ratio by number of trials: {each}"

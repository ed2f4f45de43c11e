"""How often a verdict is wrong: sweeps simulated without an edge and with one, line by line.

`python -m tests.docs_verdict` writes the table into docs/luck.md; tests/inference/test_verdict.py
runs some of the same sweeps, and all of them as a slow test. Whole markets would take hours, so
what the lines are computed from is simulated: the ROC of the wheels of each entry session under
each configuration, and the same by month.
"""

import re
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

import wheelvec as wv
from wheelvec.inference import lines
from wheelvec.inference.blocks import ENTRIES, chosen, drawn
from wheelvec.inference.bootstrap import Bootstrap, Resampled
from wheelvec.inference.figures import average_roc
from wheelvec.inference.lines import Line
from wheelvec.inference.superior import Superior, _tested

LUCK = Path(__file__).resolve().parents[1] / "docs" / "luck.md"
TABLE = re.compile(r"(<!-- verdicts: [^>]*-->\n).*?(<!-- end of verdicts -->)", re.DOTALL)
MONTHS, MONTH = 60, 21  # months, entry sessions in one
HELD = 21  # sessions that a wheel is held
STRIKES, MANAGED = 8, 5  # configurations: distances of the strike x ways to manage the put
EDGES = (0.0, 0.25, 0.5, 1.0)  # shares of the fair premium that the first configurations are over
EDGED = 10
MARKETS = 1_000
RESAMPLES = 500
NORMAL = NormalDist()
NAMES = {
    lines.BOOTSTRAP[1]: "time: bootstrap",
    lines.HALVES[1]: "time: halves",
    lines.YEARS[1]: "time: worst year",
    lines.DEFLATED[1]: "selection: deflated Sharpe ratio",
    lines.OVERFITTING[1]: "selection: probability of overfitting",
    lines.SUPERIOR[1]: "selection: SPA",
    lines.STEPDOWN[1]: "selection: StepM of the row",
}


def overlapping(steps: Any) -> Any:
    """(sessions, columns) the sum of the HELD steps after each session, of variance 1."""
    total = np.concatenate([np.zeros((1, steps.shape[1])), steps.cumsum(axis=0)])
    return (total[HELD:] - total[:-HELD]) / HELD**0.5


def rocs(seed: int, edge: float) -> Any:
    """(entry sessions, configurations) ROC of one wheel a session, percent.

    The wheel is a put that is sold for its fair premium and held over HELD sessions: it earns the
    premium, less what the underlying falls below its strike. So it gains often and little, loses
    seldom and much, wheels overlap, and without an edge the mean is 0 exactly. Managing adds independent
    noise to each configuration.
    """
    rng = np.random.default_rng(seed)
    sessions = MONTHS * MONTH
    move = 6.0 * overlapping(rng.standard_normal((sessions + HELD, 1)))[:sessions]
    noise = overlapping(rng.standard_normal((sessions + HELD, STRIKES * MANAGED)))[:sessions]
    found = []
    for i, far in enumerate(np.linspace(0.25, 1.25, STRIKES)):
        fair = 6.0 * (NORMAL.pdf(far) - far * NORMAL.cdf(-far))
        put = fair - np.maximum(0.0, -move - 6.0 * far)
        for j in range(MANAGED):
            column = i * MANAGED + j
            premium = edge * fair if column < EDGED else 0.0
            found.append(put[:, 0] + 0.5 * fair * noise[:, column] + premium)
    return np.stack(found, axis=1)


def judged(returns: Any, seed: int = 0) -> list[Line]:
    """The lines of time and selection for the configuration with the greatest mean ROC.

    They are computed as of a sweep, with blocks of the holding period and the widening for overlap.

    Args:
        returns: (entry sessions, configurations) percent.
        seed: of the resamples.
    """
    best = int(returns.mean(axis=0).argmax())
    own, one = np.ascontiguousarray(returns[:, best]), np.ones(returns.shape[0])
    day = np.busday_offset("2019-01-01", np.arange(own.size), roll="forward")
    monthly = returns.reshape(MONTHS, MONTH, -1).mean(axis=1)
    mean = interval(own[:, None], seed)
    better = superior(returns, seed)
    return [
        lines.bootstrap_line(mean.estimate, mean.low, mean.high, ""),
        lines.halves_line(day, own, one),
        lines.worst_year_line(day, own, one),
        lines.deflated_line(wv.effective_trials(monthly, row=best)),
        lines.overfitting_line(wv.pbo(monthly, 12)),
        lines.superior_line(better),
        lines.stepdown_line(better, best),
    ]


def interval(own: Any, seed: int) -> Bootstrap:
    """`bootstrap` of a result with one wheel a session, (entry sessions, 1) percent."""
    statistic = average_roc(own, np.ones_like(own))
    blocks = chosen("bootstrap", statistic.influence(), "stationary", None, HELD, ENTRIES)
    of = Resampled("avg_wheel_roc", statistic, own.size, blocks)
    return Bootstrap(of, drawn(blocks, own.size, RESAMPLES, seed), lines.INTERVAL, seed, True)


def superior(returns: Any, seed: int) -> Superior:
    """`spa` of a sweep with these returns, against no trade."""
    blocks = chosen("spa", returns, "stationary", None, HELD, ENTRIES)
    units, many = returns.shape
    found = _tested(returns, drawn(blocks, units, RESAMPLES, seed), blocks.widening)
    frame = pl.DataFrame({"row": np.arange(many)} | found.columns)
    return Superior(*found.p_values, frame, blocks.length, blocks.why, units, RESAMPLES)


def rates(edge: float, markets: int) -> dict[str, float]:
    """The share of simulated sweeps in which each line holds; "all" of them; and "edge": in which
    the configuration that was chosen has one.
    """
    held = dict.fromkeys([*NAMES, "all", "edge"], 0)
    for seed in range(markets):
        returns = rocs(seed, edge)
        found = judged(returns, seed)
        for line in found:
            held[line.name] += bool(line.holds)
        held["all"] += all(line.holds for line in found)
        held["edge"] += int(returns.mean(axis=0).argmax()) < EDGED and edge > 0.0
    return {name: count / markets for name, count in held.items()}


def year_sharpe(edge: float, seed: int = 10**6) -> float:
    """The Sharpe ratio a year, of months of entry, that the first configurations truly have."""
    many = np.concatenate([rocs(seed + i, edge)[:, :EDGED] for i in range(40)])
    monthly = many.reshape(-1, MONTH, EDGED).mean(axis=1)
    return float(np.mean(monthly.mean(axis=0) / monthly.std(axis=0)) * 12**0.5)


def rates_table(found: list[dict[str, float]]) -> str:
    """How often each line holds, as a table.

    Args:
        found: `rates` of each of EDGES.
    """
    head = ["line", "no edge", *(f"Sharpe {year_sharpe(edge):.1f}" for edge in EDGES[1:])]
    rule = ["---", *["---:"] * len(EDGES)]
    rows = [
        [said, *(f"{each[name]:.1%}" for each in found)]
        for name, said in {**NAMES, "all": "**all seven**"}.items()
    ]
    rows.append(["(the chosen one has the edge)", "", *(f"{e['edge']:.1%}" for e in found[1:])])
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def with_rates(page: str, table: str) -> str:
    """The page with the table between its marks."""
    return TABLE.sub(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", page)


if __name__ == "__main__":
    text = LUCK.read_text(encoding="utf-8")
    LUCK.write_text(with_rates(text, rates_table([rates(edge, MARKETS) for edge in EDGES])))

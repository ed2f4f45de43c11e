"""Everything in the documentation that a run produced: its tables, its printed output, and the
notebook's outputs.

`python tests/docs_costs.py` writes them anew; tests/test_docs.py runs the same functions and
compares.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import io
import os
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import polars as pl

import wheelvec as wv
from wheelvec.demo.synthetic import DEMO_END, DEMO_START, demo_tables

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEFAULT = wv.Config(schedule=wv.Schedule(start_date=DEMO_START, end_date=DEMO_END))

# One thing changed at a time: what the row says, and the fields behind it.
CHANGES: dict[str, dict[str, Any]] = {
    '`fill_mode = "optimistic"`': {"fills.fill_mode": "optimistic"},
    '`fill_mode = "pessimistic"`': {"fills.fill_mode": "pessimistic"},
    '`fill_mode = "natural"`': {"fills.fill_mode": "natural"},
    '`exit_model = "close_range"`': {"fills.exit_model": "close_range"},
    "every first touch fills (`use_probabilistic_exit_fills = false`)": {
        "fills.use_probabilistic_exit_fills": False
    },
    '`gap_path = "quote"`': {"fills.gap_path": "quote"},
    "no fees": {"costs.commission_per_contract": 0.0, "costs.sec_fee_per_contract": 0.0},
    "no penalty (the three allowed spreads at 1.0, so that all is tight)": {
        "liquidity.base_max_spread_pct": 1.0,
        "liquidity.ivp_high_max_spread_pct": 1.0,
        "liquidity.ivp_extreme_max_spread_pct": 1.0,
    },
    '`ivp_over = "chain"`': {"liquidity.ivp_over": "chain"},
    "no stop (`stop_loss_multiplier = none`)": {"put.stop_loss_multiplier": None},
    "no target (`exit_pct = 0`)": {"put.exit_pct": 0.0},
    "calls sought for 5 more sessions (`call_wait_sessions = 5`)": {"call.call_wait_sessions": 5},
    "calls until called away (`max_cycles = none`, `call_wait_sessions = 5`)": {
        "call.max_cycles": None,
        "call.call_wait_sessions": 5,
    },
    '`rules = "v5"`': {"rules": "v5"},
}
SEEDS = range(4)
LUCK = range(10)  # seeds of random orders
CUTS = (dt.date(2024, 2, 29), dt.date(2024, 5, 31), dt.date(2024, 7, 19))

# From the notebook's arithmetic to this library's, one rule at a time.
BRIDGE: dict[str, dict[str, Any]] = {
    '`rules="v5"`': {"rules": "v5"},
    '`rules="v5"`, `exit_model="trigger"`': {"rules": "v5", "fills.exit_model": "trigger"},
    '`rules="ledger"`, `exit_model="close_range"`': {"fills.exit_model": "close_range"},
    '`rules="ledger"`': {},
}


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table: first column text, the others right-aligned."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def dollars(value: float, sign: str = "") -> str:
    return f"{round(value) or 0:{sign},}"


def cash(value: float) -> str:
    return f"{'-' if round(value) < 0 else ''}${dollars(abs(value))}"


def percent(value: float) -> str:
    return f"{value:.3f}"


@functools.cache
def market(end: dt.date | None = None) -> wv.Market:
    """The demo market, or what of it was known on a date."""
    return wv.demo_market() if end is None else wv.demo_market(end=end)


@functools.cache
def ran(**changes: Any) -> wv.Result:
    """The default configuration with some fields changed, run on the demo market."""
    return wv.backtest(market(), DEFAULT.replace(**changes))


def cost_table() -> str:
    """The default configuration, one thing changed at a time, and the spread over seeds."""
    base = ran().summary()
    named = {"default": base} | {
        name: ran(**changes).summary() for name, changes in CHANGES.items()
    }
    tables = demo_tables()
    without_bars = wv.Market(
        option_quotes=tables["option_quotes"], underlying_bars=tables["underlying_bars"]
    )
    named["no `option_bars` at all: daily quotes decide"] = wv.backtest(
        without_bars, DEFAULT
    ).summary()
    rows = [
        [name, f"{s['total_wheels']:,}", percent(s["avg_wheel_roc"]), f"{s['win_rate']:.1f}", dollars(s["total_pnl"]),
         "" if s is base else dollars(s["total_pnl"] - base["total_pnl"], "+")]
        for name, s in named.items()
    ]  # fmt: skip
    header = ["changed", "wheels", "average ROC %", "win rate %", "total P&L $", "difference $"]
    seeds = [ran(**{"fills.execution_seed": seed}).summary() for seed in SEEDS]
    rocs, totals = ([s[name] for s in seeds] for name in ("avg_wheel_roc", "total_pnl"))
    spread = (
        f"Over the execution seeds {SEEDS[0]} to {SEEDS[-1]} (the default is {DEFAULT.fills.execution_seed}) the average ROC "
        f"runs from {percent(min(rocs))} to {percent(max(rocs))}%, the total P&L from {cash(min(totals))} to "
        f"{cash(max(totals))}."
    )
    marks = ran().wheels.filter(
        pl.col("pnl").is_null() & ~pl.col("censored") & pl.col("pnl_marked").is_not_null()
    )
    puts = (
        ran()
        .records.filter(pl.col("phase") == "csp")
        .select("wheel_id", close="underlying_at_expiration")
    )
    assigned = marks.join(puts, on="wheel_id").select(
        pl.col("csp_pnl") + 100.0 * (pl.col("close") - pl.col("strike"))
    )
    marked = (
        f"Of the default's total {cash(marks['pnl_marked'].sum())} is not realised: the marks of {marks.height} assigned "
        "wheels that the data leave unresolved, valued at the last close before the one that is lacking. Put and shares valued at the "
        f"close that assigned them, the same wheels come to {cash(assigned.to_series().sum())}: a few missing closes can "
        "decide the sign of a total. Look at `marked_wheels` before you believe one."
    )
    return "\n\n".join([table(header, rows), spread, marked])


def survivorship_table() -> str:
    """Wheels whose put settles after a date at which the data end: those closed by then, and what
    all came to.
    """
    key = ["underlying", "entry_date", "put_symbol"]
    rows = []
    for stop, said in ((2.0, "2.0"), (None, "none")):
        rule = {"put.stop_loss_multiplier": stop}
        known = ran(**rule).wheels.filter(pl.col("pnl_marked").is_not_null())
        known = known.select(*key, roc=100.0 * pl.col("pnl_marked") / pl.col("initial_capital"))
        for cut in CUTS:
            seen = wv.backtest(market(cut), DEFAULT.replace(**rule, **{"schedule.end_date": cut}))
            censored = seen.wheels.filter("censored").join(known, on=key, how="inner")
            closed = censored.filter(pl.col("pnl").is_not_null())
            rows.append([said, f"{cut}", f"{censored.height:,}", f"{closed.height:,}", percent(closed["wheel_roc"].mean()),
                         percent(censored["roc"].mean())])  # fmt: skip
    header = [
        "stop",
        "data end",
        "censored wheels",
        "closed by then",
        "average ROC % of the closed",
        "of all, once known",
    ]
    return table(header, rows)


def simulated(**fields: Any) -> wv.Portfolio:
    """The account of the default configuration on the demo market."""
    return wv.simulate(ran(), wv.Account(**fields))


def shares(values: dict[str, Any], *names: str) -> list[str]:
    """Figures that are fractions as percent, the others with two decimals."""
    fractions = ("total_return", "volatility", "max_drawdown")
    return [
        "" if values[name] is None else f"{100 * values[name]:.1f}" if name in fractions else f"{values[name]:.2f}"
        for name in names
    ]  # fmt: skip


def order_table() -> str:
    """The demo market under orders and limits of an account, and the band over random orders."""
    names = ("total_return", "volatility", "sharpe", "max_drawdown")
    accounts: dict[str, dict[str, Any]] = {
        '`order = "record"` (default)': {},
        '`order = "premium"`': {"order": "premium"},
        '`"record"`, `max_share_per_underlying = 0.4`': {"max_share_per_underlying": 0.4},
        '`"premium"`, `max_share_per_underlying = 0.4`': {"order": "premium", "max_share_per_underlying": 0.4},
    }  # fmt: skip
    found = {name: simulated(**fields).metrics() for name, fields in accounts.items()}
    rows = [[name, f"{f['taken']:,}", *shares(f, *names)] for name, f in found.items()]
    drawn = [simulated(order="random", seed=seed).metrics() for seed in LUCK]
    for said, at in (("least", 0), ("median", None), ("greatest", -1)):
        middle = {}
        for name in ("taken", *names):
            ordered = sorted(f[name] for f in drawn)
            middle[name] = statistics.median(ordered) if at is None else ordered[at]
        said = f'`order = "random"`, ten seeds: {said} of each figure'
        rows.append([said, f"{middle['taken']:,.0f}", *shares(middle, *names)])
    header = ["account", "wheels taken", "total return %", "volatility %", "Sharpe", "max drawdown %"]  # fmt: skip
    return table(header, rows)


def everything_sentence() -> str:
    """The capital that all wheels of the demo together would have needed, and its return."""
    rich = simulated(cash=1e8)
    peak = (rich.daily["collateral"] + rich.daily["shares"]).max()
    gain = rich.daily["equity"][-1] - 1e8
    taken = simulated().metrics()["taken"]
    return (
        f"The {rich.wheels.height:,} wheels of the demo came to {cash(gain)} together. On the busiest day they "
        f"held {cash(peak)} in collateral and shares, on which that is {100 * gain / peak:.1f}%. An account "
        f"of $100,000 takes {taken:,} of them in the default order, and which ones is no detail:"
    )


def matched_table() -> str:
    """The account of the demo beside its benchmarks."""
    one = simulated(rate=0.04)
    names = ("total_return", "volatility", "sharpe", "max_drawdown", "beta_delta_matched")
    rows = [["account", *shares(one.metrics(), *names)]]
    for name in one.benchmarks.columns[1:]:
        rows.append([f"`{name}`", *shares(one.metrics(of=name), *names)])
    header = ["", "total return %", "volatility %", "Sharpe", "max drawdown %", "beta on delta-matched"]  # fmt: skip
    return table(header, rows)


def bridge_table() -> str:
    """The notebook's arithmetic and this library's, one rule at a time, with P&L by where it arose."""
    rows = []
    for name, changes in BRIDGE.items():
        result = ran(**changes)
        summary, wheels = result.summary(), result.wheels
        parts = [
            dollars(wheels.select(pl.col(part).sum()).item())
            for part in ("csp_pnl", "cc_pnl", "stock_pnl")
        ]
        calls = result.records.filter(pl.col("phase") == "cc").height
        rows.append([name, f"{summary['total_wheels']:,}", f"{calls}", *parts, dollars(summary["total_pnl"]),
                     percent(summary["avg_wheel_roc"])])  # fmt: skip
    header = ["configuration", "wheels in the summary", "calls sold", "puts $", "calls $", "shares $", "total P&L $",
              "average ROC %"]  # fmt: skip
    return table(header, rows)


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def printed(programs: list[str]) -> tuple[list[str], list[str]]:
    """The output of each block of a program in Python, and the warnings of all of them."""
    outputs = [io.StringIO() for _ in programs]
    names = {"__name__": "documentation"}
    with warnings.catch_warnings(record=True) as caught, pl.Config(restore_defaults=True):
        warnings.simplefilter("always")
        for program, output in zip(programs, outputs, strict=True):
            with contextlib.redirect_stdout(output):
                exec(compile(program, "documentation", "exec"), names)
    return [output.getvalue() for output in outputs], [str(w.message) for w in caught]


def with_output(text: str) -> tuple[str, list[str]]:
    """A page with each block of output that follows Python as that code prints it, and the warnings
    given. All Python blocks of a page are one program.
    """
    programs = blocks(text, "python")
    outputs, warned = printed(programs)
    said = dict(zip(programs, outputs, strict=True))
    return _with_blocks_after("python", text, said.__getitem__), warned


def _with_blocks_after(language: str, text: str, output: Callable[[str], str]) -> str:
    """A page with each block of output that follows a block of a language, and nothing else,
    replaced.
    """
    pattern = rf"^```{language}\n((?:(?!```).*\n)*)```\n\n```text\n((?:(?!```).*\n)*)```$"

    def replaced(match: re.Match[str]) -> str:
        start, stop = match.start(2) - match.start(), match.end(2) - match.start()
        return match[0][:start] + output(match[1]) + match[0][stop:]

    return re.sub(pattern, replaced, text, flags=re.MULTILINE)


def ran_in_shell(text: str, folder: Path) -> dict[str, str]:
    """The output of each block of shell: the commands that need no network or vendor's file, block after
    block in one folder, in which the page's TOML files stand and tables to import. `get` takes an
    invented set that stands there.

    Raises:
        subprocess.CalledProcessError: if a command fails, or says anything on standard error.
    """
    for block in blocks(text, "toml"):
        (folder / block.partition("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    names = {"quotes": "option_quotes", "option_bars": "option_bars", "bars": "underlying_bars"}
    tables = demo_tables(symbols=["ALFA"], start="2024-01-02", end="2024-01-31")
    for name, table in names.items():
        tables[table].write_parquet(folder / f"{name}.parquet")
    command = folder / "bin" / "wheelvec"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{_MAIN}' \"$@\"\n", encoding="utf-8")
    command.chmod(0o755)
    paths = {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    said = {}
    for block in blocks(text, "sh"):
        lines = block.replace("\\\n", " ").splitlines()
        ours = [
            _offline(line, folder)
            for line in lines
            if line.startswith("wheelvec ")
            and not line.startswith(("wheelvec fetch ", "wheelvec import eod "))
        ]
        done = subprocess.run(
            ["sh", "-e", "-c", "\n".join(ours)],
            cwd=folder,
            env=os.environ | paths,
            capture_output=True,
            text=True,
            check=True,
        )
        if done.stderr:
            raise subprocess.CalledProcessError(0, ours, stderr=done.stderr)
        said[block] = _steady(done.stdout)
    return said


def _steady(text: str) -> str:
    """Output without what another release of Polars changes: sizes of files, and digests."""
    text = re.sub(r"accepted, SHA-256 \w+", "as published", text)
    return re.sub(r"[\d.]+(?= [kM]B\b)", lambda size: "..".rjust(len(size[0])), text)


def _offline(line: str, folder: Path) -> str:
    """A command that needs no network: `get` with an invented set, which is made for it."""
    if not line.startswith("wheelvec get "):
        return line
    made = runpy.run_path(str(ROOT / "tests" / "vendors" / "made_up.py"))["made_up_set"]
    digests = made(folder / "set", start="2022-01-03", end="2024-06-28").values()
    accepted = "".join(f" --accept-digest {digest}" for digest in digests)
    return f"{line} --from set{accepted}"


_MAIN = "import sys; from wheelvec.cli import main; sys.exit(main())"


def with_shell_output(text: str) -> str:
    """A page with each block of output that follows a block of shell as its commands print it."""
    with tempfile.TemporaryDirectory() as folder:
        said = ran_in_shell(text, Path(folder))
    return _with_blocks_after("sh", text, lambda block: said[block])


def with_table(text: str, name: str, content: str) -> str:
    """A page with what stands between the markers of `name` replaced."""
    pattern = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)"
    replaced, count = re.subn(
        pattern, lambda m: f"{m[1]}\n{content}\n\n{m[2]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the markers of {name!r} stand {count} times on the page: expected once")
    return replaced


def pages() -> dict[Path, str]:
    """Every page with generated parts, as it should read."""
    names = ("fills", "portfolio", "migrating", "first-real-result", "getting-started", "results")
    fills, portfolio, migrating, first, started, results = (
        ROOT / "docs" / f"{name}.md" for name in names
    )
    readme = ROOT / "README.md"
    every = (fills, portfolio, migrating, first, started, results, readme)
    written = {path: path.read_text(encoding="utf-8") for path in every}
    written[fills] = with_table(written[fills], "costs", cost_table())
    written[fills] = with_table(written[fills], "survivorship", survivorship_table())
    for name, content in (
        ("everything", everything_sentence()),
        ("orders", order_table()),
        ("matched", matched_table()),
    ):
        written[portfolio] = with_table(written[portfolio], name, content)
    written[migrating] = with_table(written[migrating], "bridge", bridge_table())
    for path in (migrating, started, results, readme):
        written[path], _ = with_output(written[path])
    for path in (first, readme):
        written[path] = with_shell_output(written[path])
    return written


def executed_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook, run in a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )
    return client.execute()


def texts(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """The output of each code cell as plain text."""
    return [
        [
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    for path in NOTEBOOKS:
        notebook = executed_notebook(path)
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        }
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()

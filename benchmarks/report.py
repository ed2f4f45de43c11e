"""docs/performance.md and its pictures, made of `figures.json` alone: nothing in them is typed.

python -m benchmarks.report                 writes the page anew
python -m benchmarks.report results.json    takes pytest-benchmark's results in first
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.plot import Line, chart

DOCS = Path(__file__).parents[1] / "docs"
PAGE, SOLVERS, SCALE = "performance.md", "performance-implied-vol.svg", "performance-scale.svg"
KEPT = ("note", "error", "bars", "quotes", "goal", "ratio", "alone", "idle", "processor")
# groups of one file: measured by it alone, they are a part with a machine and date of theirs
BACKTEST = ("one_backtest", "backtest_threads", "cycles")
IMPORT = ("import csv", "import parquet", "check")
ACCOUNT, INFERENCE = ("account", "account sweep"), ("bootstrap", "pbo")
ALONE = {"backtest": BACKTEST, "import": IMPORT, "account": ACCOUNT, "inference": INFERENCE}
IN_A_SECOND = {"ns": 1e9, "µs": 1e6, "ms": 1e3}
Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]

ERROR: Column = ("largest error", lambda row: f"{row['error']:.1e}" if "error" in row else "")
SECONDS: Column = ("seconds", lambda row: number(row["median"]))


def distilled(results: Row) -> Row:
    """Of pytest-benchmark's results what the page needs."""
    rows = []
    for found in results["benchmarks"]:
        info, stats = found["extra_info"], found["stats"]
        row = {
            "group": found["group"],
            "what": info["what"],
            "n": info["n"],
            "threads": info["threads"],
        }
        row |= {"median": stats["median"], "least": stats["min"], "rounds": stats["rounds"]}
        rows.append(row | {key: info[key] for key in KEPT if key in info})
    return {"machine": results["machine"], "absent": results["absent"], "rows": rows}


def number(value: float) -> str:
    """Three significant digits at most, never an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.6f}".rstrip("0").rstrip(".")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; all columns but the first are numbers, but for those whose name begins with
    a bar.
    """
    names = list(head)
    rule = ["---" if i == 0 or name.startswith("|") else "---:" for i, name in enumerate(names)]
    lines = [[name.removeprefix("|") for name in names], rule, *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def each(row: Row) -> float:
    """Seconds for one element."""
    return float(row["median"] / row["n"])


def per(unit: str, element: str, divisor: Callable[[Row], int] = lambda row: 1) -> Column:
    """The column of a time per element."""
    return f"{unit} per {element}", lambda row: number(each(row) * IN_A_SECOND[unit] / divisor(row))


def is_ours(row: Row) -> bool:
    """Whether a row is one of the library's."""
    return str(row["what"]).startswith("wheelvec")


def emphasised(name: str) -> str:
    """The library's own rows in bold."""
    return f"**{name}**" if name.startswith("wheelvec") else name


class Page:
    """The figures of one `figures.json`, section by section."""

    def __init__(self, found: Row) -> None:
        self.bench, self.short, self.scale = found["benchmarks"], found["short"], found.get("scale")
        self.backtest = found.get("backtest", {"rows": []})
        self.imported = found.get("import", {"rows": []})
        self.parts = {name: found.get(name) for name in ("account", "inference")}
        self.old = found.get("old_engine")  # the last one that followed the rules apart from sweeps

    def group(self, name: str) -> list[Row]:
        """The rows of a group, measured with all others or alone; none if it was not measured."""
        parts = [self.bench, *filter(None, self.parts.values())]
        found = ([row for row in part["rows"] if row["group"] == name] for part in parts)
        return next(filter(None, found), [])

    def measured(self, part: str) -> str:
        """On what machine the groups of a part were measured."""
        whole = {row["group"] for row in self.bench["rows"]} >= set(ALONE[part])
        machine = (self.bench if whole else self.parts[part] or self.bench)["machine"]
        cores = f"{machine['cores']} cores, {machine['vector_unit']}"
        return f"Measured on {machine['date']}: {machine['processor']}, {cores}."

    def largest(self, name: str) -> list[Row]:
        """The rows of a group, each contestant at its largest size."""
        best: dict[tuple[str, int], Row] = {}
        for row in self.group(name):
            key = (row["what"], row["threads"])
            best[key] = max(row, best.get(key, row), key=lambda each: each["n"])
        return list(best.values())

    def ours(self, name: str) -> float:
        """Seconds of wheelvec for one element on one thread: what ratios are against."""
        (row,) = [
            row for row in self.largest(name) if row["what"] == "wheelvec" and row["threads"] == 1
        ]
        return each(row)

    def compared(self, name: str, elements: str, *columns: Column) -> str:
        """A table of a group, fastest first: who, on how much, the columns, and the time as a
        multiple of wheelvec's.
        """
        base = self.ours(name)
        head = [
            "what",
            "|",
            "threads",
            elements,
            *(title for title, _ in columns),
            "times wheelvec's",
        ]
        rows = sorted(self.largest(name), key=each)
        body = (
            [emphasised(row["what"]), row.get("note", ""), str(row["threads"]), f"{row['n']:,}"]
            + [cell(row) for _, cell in columns]
            + [number(each(row) / base)]
            for row in rows
        )
        return table(head, body)

    # ---- sections

    def head(self) -> str:
        machine = self.bench["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        facts = {
            "processor": f"{machine['processor']}, {machine['cores']} cores, {machine['vector_unit']}",
            "memory": f"{machine['memory_gib']} GiB",
            "system": f"{machine['system']}, Python {machine['python']}",
            "measured": machine["date"],
        }
        return f"""# Performance

<!-- written by `make bench` from benchmarks/figures.json; do not edit -->

The time and memory of wheelvec and of other packages, measured by the programs in [benchmarks/](../benchmarks) that ship with
it. `make bench` measures anew and writes this page; no number in it is typed.

In each comparison all contestants ran in one process on one input. Their results were compared before the clock started, and a
difference ends the run. Times are medians. One thread means one core for the whole process, whatever pools of threads it has.
"times wheelvec's" is a contestant's time over that of the row **wheelvec** with one thread: above 1 it is slower, under 1
faster. Ratios carry over to similar machines, times do not.

{table(["", "|"], facts.items())}

Versions: {versions}.{self.absent()}"""

    def absent(self) -> str:
        if not self.bench["absent"]:
            return ""
        reasons = "; ".join(
            f"{name} ({reason})" for name, reason in sorted(self.bench["absent"].items())
        )
        return f"\n\nNot there in this run, so not compared: {reasons}."

    def solvers(self) -> str:
        return f"""## Implied volatility

Quotes of one stock at 220: strikes from 60 to 410, one to 90 days, volatilities from 0.15 to 1.5, a rate of 4%, calls and
puts alike; mids in whole cents, those under half a cent or outside the no-arbitrage bounds left out. Each call starts from
prices, spots, strikes, years and rates; what a library needs besides (forwards, undiscounted prices, flags) is made within
the time. Every volatility must give its price back to a hundredth of a cent. The error is the largest one against the true
volatility on up to 100,000 exact prices with a vega of at least 0.01; the rounding of the prices themselves has its part in
it. Slow contestants solve fewer options; the picture shows what each costs by their number.

{self.compared("implied_vol", "options", per("ns", "option"), ERROR)}

Rows with "IV alone" do less than the row **wheelvec**, rows with greeks more.

![Time per option against the number of options in one call]({SOLVERS})

A chain of 4,000 contracts, volatility and delta, against the way of notebooks:

{self.compared("chain_4000", "contracts", per("µs", "contract"))}"""

    def paths(self) -> str:
        (bars,) = {row["bars"] for row in self.group("path")}
        return f"""## Paths

Short options followed through {bars} daily bars each to a stop at twice the premium or a target at half of it, a gap paid in
full; without probabilistic fills, which vectorbt cannot express. The same exits, days and prices in all.

{self.compared("path", "wheels", per("ns", "wheel"), per("ns", "bar", lambda row: int(row["bars"])))}

The plain loops do nothing else. wheelvec's kernel also knows fills by chance, quotes in place of bars, touches, marks,
holding limits and settlement. vectorbt builds a portfolio with its order records and visits every bar, also after an exit;
it can do much that wheelvec cannot."""

    def sweeps(self) -> str:
        """Families of sweeps and their goals; nothing where none was measured."""
        rows = [row for row in self.group("sweep") if row["n"]]
        if not rows:
            return ""
        body = (
            [
                row["what"],
                row.get("note", ""),
                str(row["threads"]),
                f"{row['n']:,}",
                number(1e-6 / each(row)),
                number(row["goal"]),
            ]
            if "goal" in row
            else [
                row["what"],
                row.get("note", ""),
                str(row["threads"]),
                f"{row['n']:,}",
                number(1e-6 / each(row)),
                "",
            ]
            for row in rows
        )
        head = ["family", "|", "threads", "cells", "million cells a second", "goal on one thread"]
        return f"""## Sweeps

From `wv.sweep(...)` to the frame, chains solved, with grid values that no earlier sweep of the process had. A cell is one
launched wheel under one configuration. Random rows were compared with `wv.backtest` in every figure, to the last bit. The demo
market gives some 400 wheels, forty underlyings over two years some 50,000. The goals of the first and the third family were set
before anything was built; the others are some four fifths of what was measured when the kernels stood.

{table(head, body)}{self.sweeps_by_cells()}{self.sweeps_in_threads()}{self.sweeps_beside()}"""

    def sweeps_by_cells(self) -> str:
        """The cost of the first family from a handful of rows on; nothing where it was not measured."""
        rows = sorted(self.group("sweep by cells"), key=lambda row: int(row["n"]))
        if not rows:
            return ""
        body = (
            [f"{row['n']:,}", number(row["median"] * 1e3), number(each(row) * 1e9)] for row in rows
        )
        return f"""

The first family by the number of cells, one thread. Few rows pay for the plan and for finding puts and their ends.

{table(["cells", "ms", "ns per cell"], body)}"""

    def sweeps_in_threads(self) -> str:
        """The gain from a second thread; nothing where it was not measured."""
        rows = self.group("sweep threads")
        if not rows:
            return ""
        body = (
            [
                row["what"],
                row.get("note", ""),
                f"{row['n']:,}",
                number(row["alone"] * 1e3),
                number(row["median"] * 1e3),
                f"{row['ratio']:.2f}",
                "" if row.get("idle") is None else f"{row['idle']:.0%}",
            ]
            for row in rows
        )
        head = [
            "family",
            "|",
            "cells",
            "one thread, ms",
            "two threads, ms",
            "times as fast",
            "machine idle",
        ]
        return f"""

One thread on one core and two threads on two, by turns, {rows[0]["rounds"]} pairs of runs; times as fast is the median of the
pairs' ratios. Idle is the machine's idle share over all the runs. Where nothing else ran, the second core was idle for as long
as one thread worked alone.

{table(head, body)}"""

    def sweeps_beside(self) -> str:
        """Exit rules beside loops that know nothing else; nothing where it was not measured."""
        if not self.group("sweep beside"):
            return ""
        return f"""

Stops and targets over the puts of the demo market, a gap paid in full, without probabilistic fills. The other contestants get
the puts' bars ready-made and find reason and price of each exit; the same in all. **wheelvec** is the whole sweep, from quotes
to figures, and follows what is assigned through its calls.

{self.compared("sweep beside", "cells", per("ns", "cell"))}"""

    def minute(self) -> str:
        return f"""## The last quote of each contract

One minute of quotes, some of them not valid, from one Parquet file of a lake, sorted by contract and time. pandas and Polars
read five columns; wheelvec reads all, and adds mid, spread and days to expiration.

{self.compared("last_quotes", "rows", ("ms", lambda row: number(row["median"] * 1e3)))}"""

    def dbn(self) -> str:
        return f"""## DBN to columns

The bytes of an answer of Databento's, zstd and all, to eight columns and the contract's symbol on each row. wheelvec also
checks that the answer is whole. `to_ndarray` gives no symbols; `to_df` is the client's own way to a frame.

{self.compared("dbn", "records", ("ms", lambda row: number(row["median"] * 1e3)))}"""

    def whole(self) -> str:
        texts = {
            "demo_market": "The demo market: four underlyings, seven months of entries, bars of options.",
            "real_quarter": "A real quarter of one underlying: closing quotes of 77 days, no bars of options.",
        }
        parts = [
            f"{text} {rows[0]['quotes']:,} quotes.\n\n{self.compared(group, 'wheels', SECONDS, per('ms', 'wheel'))}"
            for group, text in texts.items()
            if (rows := self.group(group))
        ]
        body = "\n\n".join(parts)
        return f"""## Tables to records

From Parquet tables to the records of every wheel, in a process that has run before: `wheelvec.backtest` from a lake, and
[the loop that a researcher writes](../benchmarks/researcher.py) with pandas and vollib on the same files. The rules are the
default ones without probabilistic fills. Both find the same wheels, with the same profit and loss to the cent. The loop gives
nothing but profit and loss; wheelvec also gives records, ledger, diagnostics and paths. A lake keeps the chains that were
solved: the row **wheelvec** solves them from the quotes each time, as the loop does.

{body}"""

    def wheels_a_second(self, rows: list[Row]) -> str:
        """A line on the engine that sweeps did not share, if its figures are there."""
        now = " and ".join(number(1 / each(row)) for row in rows[:2])
        if self.old is None:
            return f"That is {now} wheels a second."
        seconds = self.old["seconds"], self.old["seen_seconds"]
        before = " and ".join(number(self.old["wheels"] / time) for time in seconds)
        return f"That is {now} wheels a second, new and seen; the engine before had {before}."

    def one(self) -> str:
        measured = self.bench if self.group(BACKTEST[0]) else self.backtest
        found: dict[str, list[Row]] = {name: [] for name in BACKTEST}
        for row in measured["rows"]:
            found.get(row["group"], []).append(row)
        if not all(found.values()):
            return "## One backtest\n\nNot measured yet: `make bench`."
        machine = measured["machine"]
        loop = next(each(row) for row in found["one_backtest"] if not is_ours(row))
        runs = (
            [emphasised(row["what"]), number(row["median"] * 1e3), number(loop / each(row))]
            for row in found["one_backtest"]
        )
        threads = sorted(found["backtest_threads"], key=lambda row: int(row["threads"]))
        pool = (
            [str(row["threads"]), number(row["median"]), number(each(threads[0]) / each(row))]
            for row in threads
        )
        cycles = (
            [emphasised(row["what"]), f"{row['n']:,}", number(each(row) * 1e3)]
            for row in found["cycles"]
        )
        return f"""## One backtest

The demo market in memory, default rules without probabilistic fills, one thread: a market that was never seen, so that its
chains are solved; one seen before, under another configuration; and a row of a sweep that is asked for its records. The
loop reads the same tables from Parquet.

{table(["what", "ms", "times as fast as the loop"], runs)}

{self.wheels_a_second(found["one_backtest"])}

The same market, never seen, its four underlyings side by side:

{table(["threads", "seconds", "times as fast as one"], pool)}

One underlying over ten years, puts near the money and no stop, so that most wheels are assigned:

{table(["what", "wheels", "ms per wheel"], cycles)}

Measured on {machine["date"]}: {machine["processor"]}, {machine["cores"]} cores, {machine["vector_unit"]}."""

    def files(self) -> str:
        """Vendors' files into a lake, and a check of it."""
        part = self.bench if self.group(IMPORT[0]) else self.imported
        rows = {name: [row for row in part["rows"] if row["group"] == name] for name in IMPORT}
        if not all(rows.values()):
            return "## Files into a lake\n\nNot measured yet: `make bench`."
        csv, parquet = (
            self.by_processor(rows[f"import {f}"], 1e6, "µs") for f in ("csv", "parquet")
        )
        machine, size = part["machine"], rows["check"][0]["n"]
        return f"""## Files into a lake

{rows["import csv"][0]["n"]:,} rows of a vendor's file into a lake: every row checked, the underlying's price found, contract by contract merged with
what is there, each month's file written, read back and compared. Polars reads the same file, whole or only the columns needed,
and writes it as one file of Parquet. Processor time is that of all threads together; times wheelvec's are of it.

From CSV:

{csv}

From Parquet:

{parquet}

`wheelvec check` of a lake of {size / 1e6:,.0f} MB, whose files have not changed since a check before, and with `--deep`, beside reading and hashing
the same bytes:

{self.by_processor(rows["check"], size * 1e3, "ms", "check")}

Measured on {machine["date"]}: {machine["processor"]}, {machine["cores"]} cores, {machine["vector_unit"]}."""

    def by_processor(self, rows: list[Row], scale: float, unit: str, element: str = "row") -> str:
        """A table of wall and processor time, and the latter as a multiple of wheelvec's."""
        (base,) = [r["processor"] for r in rows if (r["what"], r["threads"]) == ("wheelvec", 1)]
        body = (
            [
                emphasised(row["what"]),
                str(row["threads"]),
                number(row["median"] / row["n"] * scale),
                number(row["processor"] / row["n"] * scale),
                number(row["processor"] / base),
            ]
            for row in sorted(rows, key=lambda row: (row["threads"], row["processor"]))
        )
        head = ["what", "threads", f"{unit} per {element}", "of processor time", "times wheelvec's"]
        return table(head, body)

    def inference(self) -> str:
        if not self.group("bootstrap") or not self.group("pbo"):
            return ""
        return f"""## Is it luck?

A bootstrap of the mean return of a thousand configurations over 250 entry sessions, in blocks, by resamples x
configurations:

{self.compared("bootstrap", "cells", SECONDS, per("ns", "cell"))}

The probability of backtest overfitting of a thousand configurations over 120 months, 16 blocks, by splits:

{self.compared("pbo", "splits", SECONDS, per("µs", "split"))}

{self.measured("inference")}"""

    def accounts(self) -> str:
        """One account over many wheels, and sweeps under one."""
        if not all(map(self.group, ACCOUNT)):
            return ""
        swept = [
            [
                f"**wheelvec**, {row['what']}" if "goal" in row else row["what"],
                f"{row['n']:,}",
                number(row["median"]),
                number(row["goal"]) if "goal" in row else "",
                number(row["median"] / row["n"] * 1e3),
            ]
            for row in sorted(self.group("account sweep"), key=each)
        ]
        head = ["what", "configurations", "seconds", "goal", "ms a configuration"]
        return f"""## An account

Daily equity with deltas of one account over the wheels of ten years of two underlyings, by wheels on offer. The plain loop
has the records, the ledger and the paths as rows and gives the equity alone, to the cent the same. vectorbt's `from_orders` is
given the orders of the wheels that the account takes and the mark of each leg on each day, which is most of the work, and
gives the equity alone.

{self.compared("account", "wheels", SECONDS)}

A sweep under an account over half a year of the demo market, with all metrics of the account in the frame, beside a backtest
and `simulate` for each configuration:

{table(head, swept)}

{self.measured("account")}"""

    def start(self) -> str:
        rows = (
            [row["what"], number(row["median"]), str(row["rounds"])] for row in self.group("start")
        )
        return f"""## Start

Whole processes, from their start to their end. `import wheelvec` loads nothing that is heavy; the first use of a name does.
The first run ever compiles every kernel; a later one finds the compiled code on disk. `wheelvec demo` also makes the demo
market and writes the result.

{table(["process", "seconds", "rounds"], rows)}"""

    def scaled(self) -> str:
        if self.scale is None:
            return "## Scale\n\nNot measured yet: `make bench-scale`."
        rows, machine = self.scale["rows"], self.scale["machine"]
        body = (
            [
                f"{row['underlying_months']:,}",
                f"{row['underlyings']:,}",
                f"{row['first']} to {row['last']}",
                f"{row['wheels']:,}",
                number(row["seconds"]),
                number(row["seconds"] / row["wheels"] * 1e3),
                number(row["kept_seconds"]),
                number(row["peak_mib"]),
            ]
            for row in rows
        )
        head = [
            "underlying-months",
            "underlyings",
            "|entries",
            "wheels",
            "seconds",
            "ms per wheel",
            "again, s",
            "peak MiB",
        ]
        months = [number(row["seconds"] / row["underlying_months"] * 1e3) for row in rows]
        return f"""## Scale

A lake in the demo market's style ({number(self.scale["lake_mib"])} MiB of Parquet), made month by month, and backtests from it
under the default rules with the result written to a folder, each size in a separate process on all cores. The seconds are
those of a lake that keeps nothing yet; "again" are those of the next run, with the solved chains and the findings that the
first one left there. Peak memory is the most that the process ever held resident; interpreter, libraries
and a first small run had held {number(min(row["start_mib"] for row in rows))} MiB or more before.

{table(head, body)}

A run of one month reads all the months that its wheels can reach, for one month's wheels; a longer run reads each month once.
One underlying-month alone takes {months[0]} ms, one of {rows[-1]["underlying_months"]:,} takes {months[-1]} ms.

Measured on {machine["date"]}: {machine["processor"]}, {machine["cores"]} cores, {machine["vector_unit"]}.

![Time per wheel against the number of wheels]({SCALE})"""

    def held(self) -> str:
        rows = (
            [
                row["name"],
                row["reference"],
                number(row["ours_seconds"] * 1e3),
                number(row["reference_seconds"] * 1e3),
                number(row["ratio"]),
            ]
            for row in self.short["rows"]
        )
        head = ["work", "|reference", "wheelvec, ms", "reference, ms", "times as fast"]
        return f"""## What every change must keep

Continuous integration runs a short form (`make bench-check`): every benchmark once on small inputs, results compared; then
these pairs by turns on one core, the least time of several rounds. It fails if results differ; a ratio under half of the
one stated here is told, since the same loop may run twice as long by where the compiler has laid it.

{table(head, rows)}"""

    def text(self) -> str:
        """The whole page."""
        parts = (
            self.head,
            self.solvers,
            self.paths,
            self.minute,
            self.dbn,
            self.whole,
            self.one,
            self.files,
            self.sweeps,
            self.accounts,
            self.inference,
            self.start,
            self.scaled,
            self.held,
        )
        return "\n\n".join(text for part in parts if (text := part())) + "\n"

    # ---- pictures

    def solver_chart(self) -> str:
        """Time per option against the number of options."""
        series: dict[str, list[tuple[float, float]]] = {}
        for row in self.group("implied_vol"):
            if row["threads"] == 1:
                series.setdefault(row["what"], []).append(
                    (row["n"], row["median"] / row["n"] * 1e9)
                )
        lines = [
            Line(name, tuple(sorted(points)), name == "wheelvec") for name, points in series.items()
        ]
        return chart(
            "Time per option against the number of options",
            "options in one call, one thread",
            "ns per option",
            lines,
        )

    def scale_chart(self) -> str:
        """Time per wheel against the number of wheels."""
        rows = self.scale["rows"] if self.scale else []
        lines = (
            [
                Line(
                    "wheelvec, from a lake",
                    tuple((r["wheels"], r["seconds"] / r["wheels"] * 1e3) for r in rows),
                    True,
                )
            ]
            if rows
            else []
        )
        for group, name in (("demo_market", "demo market"), ("real_quarter", "real quarter")):
            for row in self.group(group):
                if row["threads"] == 1 and "kept" not in row["what"]:
                    who = "wheelvec" if row["what"] == "wheelvec" else "pandas"
                    lines.append(
                        Line(
                            f"{who}, {name}",
                            ((row["n"], row["median"] / row["n"] * 1e3),),
                            joined=False,
                        )
                    )
        return chart("Time per wheel against the number of wheels", "wheels", "ms per wheel", lines)


def written(found: Row) -> dict[str, str]:
    """The files of the page and what is in them."""
    page = Page(found)
    return {PAGE: page.text(), SOLVERS: page.solver_chart(), SCALE: page.scale_chart()}


def main(arguments: list[str]) -> None:
    """The command line."""
    for results in arguments:
        found = distilled(json.loads(Path(results).read_text()))
        measured = {row["group"] for row in found["rows"]}
        alone = (part for part, groups in ALONE.items() if measured <= set(groups))
        figures.update(next(alone, "benchmarks"), found)
    for name, text in written(figures.read()).items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

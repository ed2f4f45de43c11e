"""docs/api.md, every public name by its first sentence, and docs/command-line.md, every command with
its options, from the parser.

`python -m tests.docs_names` writes both anew; tests/test_docs_names.py compares, and holds them
complete.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import wheelvec as wv
from tests.docs_reference import ROOT, table
from wheelvec import cli
from wheelvec.inference.bands import Bands
from wheelvec.inference.bootstrap import Bootstrap
from wheelvec.inference.judged import Verdict
from wheelvec.inference.overfitting import Overfitting
from wheelvec.inference.ruin import Ruin
from wheelvec.inference.sharpe_error import SharpeError
from wheelvec.inference.superior import Superior
from wheelvec.inference.trials import Trials
from wheelvec.inference.walk_forward import WalkForward
from wheelvec.lake.inspection import Inspection
from wheelvec.market.market import Window
from wheelvec.report.story import Story
from wheelvec.report.why_not import WhyNot
from wheelvec.run.planned import Plan
from wheelvec.run.results.ranking import Ranking
from wheelvec.run.results.sweep_result import Pnl
from wheelvec.run.results.warnings import RunWarning
from wheelvec.vendors.databento.fetch import Fetched

API, COMMANDS = ROOT / "docs" / "api.md", ROOT / "docs" / "command-line.md"
# What public functions and methods return, beside what has a public name.
RETURNED = (
    Bands, Bootstrap, Fetched, Inspection, Overfitting, Plan, Pnl, Ranking, Ruin, RunWarning, SharpeError,
    Story, Superior, Trials, Verdict, WalkForward, WhyNot, Window,
)  # fmt: skip
TEXTS = {"__version__"}  # a string has no docstring

# Every public name stands in one section.
SECTIONS = {
    "Data": (
        "Tables of quotes and bars become a market, which knows what it had to set aside.",
        ["demo_market", "Market", "Window", "check", "Inspection", "import_files", "get", "fetch", "Fetched"],
    ),
    "Configuration": (
        "Frozen, and refused when it is made if a field is unknown or out of its range.",
        ["Config", "Schedule", "PutRules", "CallRules", "Liquidity", "Fills", "Costs", "Pricing"],
    ),
    "Backtest": (
        "Every wheel that the rules allow, one by one, and what they came to.",
        ["backtest", "Result", "RunWarning", "bounds", "explain", "Story", "why_not", "WhyNot"],
    ),
    "Sweep": (
        "The summaries of many configurations at once.",
        ["sweep", "Sweep", "Ranking", "Pnl", "plan", "Plan"],
    ),
    "Portfolio": (
        "One account that takes what wheels it can carry.",
        ["simulate", "Account", "Portfolio"],
    ),
    "Luck": (
        "Whether a figure is more than luck, and the best of many more than the luckiest.",
        [
            "block_length", "bootstrap", "Bootstrap", "sharpe_error", "SharpeError", "deflated_sharpe",
            "effective_trials", "Trials", "pbo", "Overfitting", "spa", "Superior", "walk_forward",
            "WalkForward", "ruin", "Ruin", "bands", "Bands",
            "verdict", "Verdict",
        ],
    ),
    "Pictures": (
        "Charts and HTML pages.",
        ["page", "plots"],
    ),
    "Signals, rates and indices": (
        "Days to trade, rates of cash, and indices to compare with.",
        ["signals", "rates", "indices"],
    ),
    "Prices": (
        "Over arrays, of European options; the draw behind a fill.",
        ["implied_vol", "black_scholes", "delta", "gamma", "vega", "theta", "rho", "fill_draw"],
    ),
    "Errors": (
        "The errors that wheelvec raises. Every message names the value, its place, and what was expected.",
        ["WheelvecError", "ConfigError", "InputError", "DataError", "LakeError", "FetchError", "InsufficientDataError", "RecordError", "StateError"],
    ),
}  # fmt: skip
API_HEAD = """# API

Every public name, by what its docstring says first; `help(wv.backtest)` prints the whole of it in Python, and the documentation site, which `make site` builds, has all of them on this page. Every one has an example that the tests run. `import wheelvec as wv` is how they are used. Written by `make docs`; fields, columns and figures are in [reference.md](reference.md).
"""
COMMANDS_HEAD = """# Command line

`wheelvec COMMAND --help` prints what this page has, and `python -m wheelvec` is the same command. Written by `make docs` from the parser.

Standard output has the results only, as plain text, JSON or CSV; progress, warnings and errors go to standard error. An error is one line that says what is wrong, where, and what was expected. The exit code is 0 for success, 2 for a wrong command line, 3 if all was done but for some underlyings, which are listed, 130 after Ctrl-C, 141 if the reader of the output has gone, and 1 for every other failure.

Every command has `--verbose`, which logs its steps to standard error, and `--debug`, which shows the traceback of a failure.
"""


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class itself defines; fields are described in the
    class.
    """
    for name, value in vars(kind).items():
        made = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not name.startswith("_") and (
            inspect.isfunction(made) or isinstance(made, property | cached_property)
        ):
            yield f"{kind.__name__}.{name}", made


def public() -> dict[str, Any]:
    """Every public name, and every public method and property of the classes among them."""
    named = {name: getattr(wv, name) for name in wv.__all__ if name not in TEXTS}
    found = named | {kind.__name__: kind for kind in RETURNED}
    for kind in [value for value in found.values() if isinstance(value, type)]:
        found |= dict(members(kind))
    for short, space in [(name, value) for name, value in named.items() if inspect.ismodule(value)]:
        found |= {f"{short}.{name}": getattr(space, name) for name in space.__all__}
    return found


def path(name: str) -> str:
    """Where a public name, or a member of one, is imported from."""
    kinds = {kind.__name__: kind.__module__ for kind in RETURNED}
    return f"{kinds.get(name.partition('.')[0], 'wheelvec')}.{name}"


def first_sentence(value: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((value.__doc__ or "").strip().partition("\n\n")[0].split())


def api() -> str:
    """The page of public names."""
    every = public()
    parts = [API_HEAD]
    for title, (about, names) in SECTIONS.items():
        rows = [
            (f"`{found}`", first_sentence(value))
            for name in names
            for found, value in every.items()
            if found == name or found.startswith(f"{name}.")
        ]
        parts.append(f"## {title}\n\n{about}\n\n{table(('name', 'what it is'), rows)}\n")
    return "\n".join(parts)


def command_line() -> str:
    """The page of commands."""
    parts = [COMMANDS_HEAD]
    for name, command in _commands(cli.parser()):
        said = "\n\n".join(
            " ".join(paragraph.split()) for paragraph in (command.description or "").split("\n\n")
        )
        blocks = [f"## {name}", said, _options(command), _examples(command)]
        parts.append("\n\n".join(filter(None, blocks)) + "\n")
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command and the forms of it, as they are listed."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"{above}{name}", command
                yield from _commands(command, f"{above}{name} ")


def _options(command: argparse.ArgumentParser) -> str:
    """A table of the arguments of a command; those of every command are in the head of the page."""
    shared = ("help", "verbose", "debug")
    rows = [
        (f"`{_spelt(action)}`", _meaning(action))
        for action in command._actions
        if action.dest not in shared and not isinstance(action, argparse._SubParsersAction)
    ]
    return table(("argument", "meaning"), rows) if rows else ""


def _spelt(action: argparse.Action) -> str:
    """An argument as it is written on a command line."""
    value = str(action.metavar or action.dest)
    if action.choices:
        value = "|".join(map(str, action.choices))
    many = f"{value} ..." if action.nargs in ("+", "*") else value
    return " ".join([*action.option_strings[-1:], *([] if action.nargs == 0 else [many])])


def _meaning(action: argparse.Action) -> str:
    """The help of an argument, and whether it must be given."""
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    must = action.required and action.option_strings and "must be given" not in text
    return f"{text}; must be given" if must else text


def _examples(command: argparse.ArgumentParser) -> str:
    """The examples at the end of a command's help."""
    lines = re.sub(r"(?m)^ {2}", "", (command.epilog or "").partition("\n")[2])
    return f"```sh\n{lines}\n```" if lines else ""


if __name__ == "__main__":
    API.write_text(api(), encoding="utf-8")
    COMMANDS.write_text(command_line(), encoding="utf-8")

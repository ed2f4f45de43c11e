"""The grammar that the commands share.

A parser that raises, how a command is added, and options of more than one.
"""

import argparse
import re
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

JSON, CSV = "json", "csv"
WIDTH = 78  # of a help text, as argparse wraps it on a terminal of 80 columns


class UsageError(Exception):
    """The command line itself cannot be understood."""


class Parser(argparse.ArgumentParser):
    """Raises instead of printing a usage text and leaving, and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with where help is."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown options here, where it is known which command they were given to."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0], options)}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse does, with a suggestion; newer versions of it have one too."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            meant = _meant(str(value), names)
            raise argparse.ArgumentError(
                action, f"invalid choice: {value!r}{meant}; choose from {', '.join(names)}"
            )


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves texts as they are wrapped, and lists commands without a line that says "command"."""

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        return text.partition("\n")[2] if isinstance(action, argparse._SubParsersAction) else text


def _meant(given: str, names: Sequence[str]) -> str:
    close = get_close_matches(given.partition("=")[0], names, n=1, cutoff=0.7)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shared_options() -> argparse.ArgumentParser:
    """The options of every command."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options = shared.add_argument_group("on failures")
    options.add_argument(
        "-v", "--verbose", action="store_true", help="log to standard error what is being done"
    )
    options.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    return shared


def add_command(
    commands: Any,
    name: str,
    text: str,
    more: str = "",
    described: str = "",
    examples: Sequence[str] = (),
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: what `add_subparsers` returned.
        name: of the command.
        text: its line in the list of commands.
        described: its own help begins with `text`, or with this.
        more: a second paragraph.
        examples: what follows the command's name in each of the examples that end its help.
    """
    paragraphs = [
        textwrap.fill(part, WIDTH)
        for part in (described or f"{text[0].upper()}{text[1:]}.", more)
        if part
    ]
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description="\n\n".join(paragraphs),
        parents=[shared_options()],
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    if examples:
        command.epilog = "\n".join(
            ["examples:", *(_continued(f"{command.prog} {rest}") for rest in examples)]
        )
    return command


def add_overwrite(command: argparse.ArgumentParser) -> None:
    """Add --overwrite to a command that writes a folder."""
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what another configuration or other data gave",
    )


def _continued(line: str) -> str:
    """A command line, over several lines if it is long, as a shell takes it.

    No option parted from its value.
    """
    bound = re.sub(r"(--\S+) (?=[^-\s])", "\\1\0", line)
    lines = textwrap.wrap(
        bound, WIDTH - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return textwrap.indent(" \\\n".join(lines), "  ").replace("\0", " ")


def add_lake(command: argparse.ArgumentParser) -> None:
    """--lake, of a command that reads one."""
    command.add_argument(
        "--lake", required=True, type=Path, metavar="FOLDER", help="the lake to read"
    )


def add_forms(command: argparse.ArgumentParser, json: str, csv: str = "") -> None:
    """--json and --csv, which take the place of the text; `json` and `csv` say what they print."""
    forms = command.add_mutually_exclusive_group()
    forms.add_argument(
        "--json",
        dest="form",
        action="store_const",
        const=JSON,
        help=f"print {json} as JSON instead",
    )
    if csv:
        forms.add_argument(
            "--csv",
            dest="form",
            action="store_const",
            const=CSV,
            help=f"print {csv} as CSV instead",
        )


def add_set(command: argparse.ArgumentParser, what: str) -> None:
    """--set, which changes fields of a configuration."""
    command.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"change a field of {what}; may be repeated",
    )

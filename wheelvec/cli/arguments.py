"""The parser of the command line, and the options that several commands share."""

import argparse
import re
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from wheelvec.model.addresses import local_or_address, refuse_address

LAKE = "the lake to read: a folder, or s3://bucket/prefix or gs://bucket/prefix"
JSON, CSV, MARKDOWN = "json", "csv", "markdown"
WIDTH = 78  # of help texts, as argparse wraps them on a terminal of 80 columns


class UsageError(Exception):
    """The command line has an unknown or missing argument."""


class Parser(argparse.ArgumentParser):
    """A parser that raises errors instead of exiting, with suggestions for unknown names."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the message and the command that prints help."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse unknown options, for which this parser knows the command."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            hint = _suggestion(unknown[0], options)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse an unknown choice with a suggestion, which older versions of argparse lack."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            hint = _suggestion(str(value), names)
            raise argparse.ArgumentError(
                action, f"invalid choice: {value!r}{hint}; choose from {', '.join(names)}"
            )


class Formatter(argparse.RawDescriptionHelpFormatter):
    """A formatter that keeps wrapped texts, and lists commands without a heading of the metavar."""

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        return text.partition("\n")[2] if isinstance(action, argparse._SubParsersAction) else text


def _suggestion(given: str, names: Sequence[str]) -> str:
    close = get_close_matches(given.partition("=")[0], names, n=1, cutoff=0.7)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shared_options() -> argparse.ArgumentParser:
    """The options of every command."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options = shared.add_argument_group("on failures")
    options.add_argument(
        "-v", "--verbose", action="store_true", help="log the steps to standard error"
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
    """The parser of a new command, added to the others.

    Args:
        commands: the value of `add_subparsers`.
        name: the name of the command.
        text: its line in the list of commands.
        more: the second paragraph of its help.
        described: the first paragraph of its help; `text` if empty.
        examples: the arguments of each example at the end of its help.
    """
    paragraphs = [
        textwrap.fill(paragraph, WIDTH)
        for paragraph in (described or f"{text[0].upper()}{text[1:]}.", more)
        if paragraph
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
        help="replace the result of another configuration or of other data",
    )


def _continued(line: str) -> str:
    """A command line, continued on further lines between options if it is long."""
    bound = re.sub(r"(--\S+) (?=[^-\s])", "\\1\0", line)
    lines = textwrap.wrap(
        bound, WIDTH - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return textwrap.indent(" \\\n".join(lines), "  ").replace("\0", " ")


def refuse_addresses(options: argparse.Namespace) -> None:
    """Refuse an address of an object store where a command reads or writes files.

    Lakes that are only read are given by `local_or_address`, which makes no path of an address.

    Raises:
        LakeError: naming the address and the option.
    """
    for name, value in vars(options).items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                refuse_address(path, f"what {name!r} names", "file or folder")


def add_lake(command: argparse.ArgumentParser) -> None:
    """Add --lake to a command that reads a lake."""
    command.add_argument(
        "--lake", required=True, type=local_or_address, metavar="FOLDER", help=LAKE
    )


def add_splits(command: argparse.ArgumentParser, added_to: str = "") -> None:
    """Add --splits, which names a file of splits or the known ones."""
    command.add_argument(
        "--splits",
        metavar="FILE",
        help="splits and renames, CSV or Parquet: underlying, ex_date, numerator, denominator, "
        f"new_underlying{added_to}; known: those of the table in the box",
    )


def splits_given(options: argparse.Namespace) -> Any:
    """The splits that --splits names, as `Market` takes them."""
    if options.splits is None or options.splits == "known":
        return options.splits
    from wheelvec.lake.splits import read_file

    return read_file(Path(options.splits))


def add_forms(
    command: argparse.ArgumentParser, json: str, csv: str = "", markdown: str = ""
) -> None:
    """Add --json, and --csv and --markdown if these are given; they describe the printed data."""
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
    if markdown:
        forms.add_argument(
            "--markdown",
            dest="form",
            action="store_const",
            const=MARKDOWN,
            help=f"print {markdown} in Markdown instead",
        )


def add_set(command: argparse.ArgumentParser, target: str) -> None:
    """Add --set, which changes fields of a configuration."""
    command.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"change a field of {target}; may be repeated",
    )

"""A configuration to begin with.

Every field at its default, with what it decides, its unit and what is allowed beside it.
"""

import re
import textwrap

import tomli_w

from wheelvec.model.config import SECTIONS, Field, fields
from wheelvec.model.version import VERSION

WIDTH = 100

HEAD = f"""\
A configuration of wheelvec {VERSION}: every field at its default. What is left out keeps its default, "none" switches a limit \
off, and a line that begins with # is not read: take the # away to set its field, here with an example."""

# What stands behind the # of a field that is None by default: the rest say "none".
EXAMPLES = {
    "schedule.start_date": "2024-01-02",
    "schedule.end_date": "2024-07-19",
    "schedule.symbols": '["ALFA", "BRVO"]',
    "schedule.weekdays": "[1, 3]",
}


def commented() -> str:
    """`Config()` as TOML text, each field under a comment that describes it.

    Example:
        >>> import tomllib
        >>> tomllib.loads(commented())["put"]["exit_pct"]
        0.5
    """
    lines, section = [_comment(HEAD), ""], ""
    for field in fields():
        if field.section != section:
            section = field.section
            lines += ["", _comment(_first_sentence(SECTIONS[section].__doc__)), f"[{section}]", ""]
        lines += [
            _comment(_in_toml(field.doc)),
            _comment(_in_toml(_allowed(field))),
            _assigned(field),
            "",
        ]
    return "\n".join(lines).rstrip()


def _first_sentence(doc: str | None) -> str:
    return re.split(r" \(rules\.md|[.:]\s", doc or "", maxsplit=1)[0] + "."


def _allowed(field: Field) -> str:
    unit = f"Unit: {field.unit}. " if field.unit else ""
    return f"{unit}Allowed: {field.allowed.replace('a frame (or pairs)', 'pairs')}."


def _in_toml(text: str) -> str:
    """Values in a text as TOML spells them: "ledger", "none", true."""
    quoted = re.sub(r"(?<!\w)'([\w:-]+)'(?!\w)", r'"\1"', text)
    return re.sub(
        r"\b(?:None|True|False)\b",
        lambda word: '"none"' if word[0] == "None" else word[0].lower(),
        quoted,
    )


def _assigned(field: Field) -> str:
    if field.default is None and field.dotted in EXAMPLES:
        return f"# {field.name} = {EXAMPLES[field.dotted]}"
    return tomli_w.dumps({field.name: "none" if field.default is None else field.default}).strip()


def _comment(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )

"""The template of a configuration that `wheelvec init` prints, with comments for every field."""

import re
import textwrap

import tomli_w

from wheelvec.model.config import SECTIONS, Field, fields
from wheelvec.model.version import VERSION

WIDTH = 100

HEAD = (
    f"A configuration of wheelvec {VERSION}: every field at its default. A field that is left out "
    'has its default, "none" switches a limit off, and a line that begins with # is not read: '
    "remove the # to set its field, here with an example."
)

# Examples behind the # of fields that are None by default; the others are set to "none".
EXAMPLES = {
    "schedule.start_date": "2024-01-02",
    "schedule.end_date": "2024-07-19",
    "schedule.symbols": '["ALFA", "BRVO"]',
    "schedule.weekdays": "[1, 3]",
}


def config_template() -> str:
    """`Config()` as TOML text, with a comment before each field that describes it.

    Example:
        >>> import tomllib
        >>> tomllib.loads(config_template())["put"]["exit_pct"]
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
    """The text with values in TOML's spelling: "ledger", "none", true."""
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

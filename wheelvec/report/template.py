"""The template of a configuration that `wheelvec init` prints, with comments for every field."""

import re
import textwrap

import tomli_w

from wheelvec.model.account import Account
from wheelvec.model.config import SECTIONS, Field, fields
from wheelvec.model.fields import fields_of
from wheelvec.model.version import VERSION

WIDTH = 100

HEAD = (
    f"A configuration of wheelvec {VERSION}: every field at its default. A field that is left out "
    'has its default, "none" switches a limit off, and a line that begins with # is not read: '
    "remove the # to set its field, here with an example."
)

ACCOUNT = (
    "What one account can carry, and in which order it takes the wheels of a session: `wheelvec "
    "simulate --config` reads this section, `run` and `sweep` do not."
)

# Examples behind the # of fields that are None by default; the others are set to "none".
EXAMPLES = {
    "schedule.start_date": "2024-01-02",
    "schedule.end_date": "2024-07-19",
    "schedule.symbols": '["ALFA", "BRVO"]',
    "schedule.weekdays": "[1, 3]",
}


def config_template() -> str:
    """`Config()` and `Account()` as TOML text, with a comment before each field to describe it.

    Example:
        >>> import tomllib
        >>> tomllib.loads(config_template())["put"]["exit_pct"]
        0.5
    """
    lines, section = [_comment(HEAD), ""], ""
    for field in template_fields():
        if field.section != section:
            section = field.section
            lines += ["", _comment(_described(section)), f"[{section}]", ""]
        lines += [
            _comment(_in_toml(field.doc)),
            _comment(_in_toml(_allowed(field))),
            _assigned(field),
            "",
        ]
    return "\n".join(lines).rstrip()


def template_fields() -> list[Field]:
    """The fields of the template: those of a configuration, and those of an account.

    Example:
        >>> [field.dotted for field in template_fields()][-1]
        'account.seed'
    """
    return [*fields(), *fields_of(Account)]


def template_rows() -> list[dict[str, object]]:
    """The fields of the template for other programs: name, default, unit, allowed values, meaning.

    Example:
        >>> template_rows()[0]["field"], template_rows()[0]["default"]
        ('rules', 'ledger')
    """
    return [
        {
            "field": field.dotted,
            "default": field.default,
            "unit": field.unit or None,
            "allowed": field.allowed,
            "doc": field.doc,
        }
        for field in template_fields()
    ]


def _described(section: str) -> str:
    return ACCOUNT if section == Account.section else _first_sentence(SECTIONS[section].__doc__)


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

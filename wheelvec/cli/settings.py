"""The option --set FIELD=VALUE: a field of the configuration, its value in TOML or without quotes.

put.exit_pct=0.3                        a number
put.stop_loss_multiplier=none           no limit
schedule.start_date=2024-01-02          a date
schedule.symbols=ALFA,BRVO              a list; also [ALFA, BRVO] and ["ALFA", "BRVO"]
fills.fill_mode=natural                 a word needs no quotes
"""

import datetime as dt
import json
import re
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wheelvec.model.errors import ConfigError, InputError

if TYPE_CHECKING:
    from wheelvec.model.config import Config

EXPLAINED = (
    "--set takes a field and its value as in the file, but words need no quotes and lists no "
    "brackets; none switches a limit off."
)

LONGEST = 100  # characters of a setting in a message

_PYTHON_CONSTANTS = {"True": "true", "False": "false", "None": "'none'"}
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'"
_TOKEN = re.compile(rf"{_QUOTED}|[^\s,\[\]{{}}=\"']+(?:[ \t]+[^\s,\[\]{{}}=\"']+)*")
_BARE_NUMBER = re.compile(r"[+-]?(?:\d+\.|\.\d+)")  # such as .5, which TOML does not allow


def changed(config: "Config", settings: Sequence[str]) -> "Config":
    """The configuration with all settings FIELD=VALUE; the last one of a field counts.

    Raises:
        InputError: for a text without "=", or a value that cannot be read.
        ConfigError: for an unknown field, or a value that its field does not allow.
    """
    if not settings:
        return config
    from wheelvec.model.fields import none_is

    values = dict(_read(text) for text in settings)
    with none_is("none"):
        try:
            return config.replace(**values)
        except ConfigError as error:
            causes = [text for text in settings if _refused(config, text) == str(error)]
            raise ConfigError(f"{' '.join(map(_shown, causes[:1] or settings))}: {error}") from None


def _refused(config: "Config", text: str) -> str:
    """The reason why a setting by itself is refused; "" if it is not."""
    try:
        config.replace(**dict([_read(text)]))
    except ConfigError as error:
        return str(error)
    return ""


def also_swept(settings: Sequence[str], grid: Any) -> list[str]:
    """The fields that are set and also swept by the grid, a mapping or a frame."""
    from wheelvec.model.config import fields

    known = {f"{field.section}.{field.alias}": field.dotted for field in fields() if field.alias}
    columns = getattr(grid, "columns", grid)
    swept = [name for key in columns for name in ([key] if isinstance(key, str) else key)]
    given = [_read(text)[0] for text in settings]
    return [
        name
        for name in given
        if known.get(name, name) in {known.get(other, other) for other in swept}
    ]


def sweeps_account(grid: Any) -> bool:
    """Whether a grid, a mapping or a frame, sweeps a field of an account."""
    from wheelvec.model.grid import ACCOUNT

    columns = getattr(grid, "columns", grid)
    names = [name for key in columns for name in ([key] if isinstance(key, str) else key)]
    return any(part.strip().startswith(ACCOUNT) for name in names for part in name.split(","))


def _read(text: str) -> tuple[str, Any]:
    from wheelvec.model.config import SECTIONS, fields

    name, equals, written = (token.strip() for token in text.partition("="))
    if not equals or not name or not written:
        raise InputError(f"{_shown(text)}: expected FIELD=VALUE, such as put.exit_pct=0.3")
    if name in SECTIONS:
        inner = next(field.dotted for field in fields() if field.section == name)
        raise InputError(
            f"{_shown(text)}: {name} is a section; expected one of its fields, such as {inner}"
        )
    value = value_of(written, _shown(text))
    optional = any(field.optional for field in fields() if field.dotted == name)
    return name, None if optional and value == "none" else value


def _shown(text: str) -> str:
    return f"--set {text if len(text) <= LONGEST else text[: LONGEST - 3] + '...'}"


def value_of(written: str, where: str) -> Any:
    """The value of a text in TOML in which words need no quotes and lists no brackets.

    Raises:
        InputError: if the text is no such value; the message begins with `where`.

    Example:
        >>> value_of("[15:45, 2024-01-02, none, .5]", "--set x")
        ['15:45', datetime.date(2024, 1, 2), 'none', 0.5]
    """
    quoted = _TOKEN.sub(lambda match: _as_toml(match[0]), written)
    for candidate in (quoted, f"[{quoted}]"):
        try:
            document = tomllib.loads(f"value = {candidate}")
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        if document.keys() == {"value"}:
            return document["value"]
    raise InputError(
        f"{where}: cannot be read; expected a number, a date, true or false, none, a word, "
        "or a list of these"
    )


def _as_toml(token: str) -> str:
    """The token unchanged if it is a value of TOML, else as a string of TOML."""
    if token in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[token]
    if _BARE_NUMBER.fullmatch(token):
        return repr(float(token))
    try:  # a time such as 15:45:00 is a word
        is_word = isinstance(tomllib.loads(f"value = {token}")["value"], dt.time)
    except tomllib.TOMLDecodeError:
        is_word = True
    return json.dumps(token) if is_word else token

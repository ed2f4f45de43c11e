"""Reading of TOML files, with one-line errors for files that are not TOML."""

import codecs
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from wheelvec.model.addresses import check_path
from wheelvec.model.errors import ConfigError

# tomllib takes quadratic time over a dotted key: minutes for 100 kB of a.a.a
_LONG_DOTTED_KEY = re.compile(r"""(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')\s*\.\s*){32}""")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as nested dictionaries.

    Raises:
        InputError: if `path` is no path.
        ConfigError: if the file cannot be read or is not TOML; with the line of the error, or the
            format that the file has instead.
    """
    check_path(path)
    try:
        written = _decoded(Path(path).read_bytes())
        if _LONG_DOTTED_KEY.search(written):
            raise ConfigError(f"{path}: no valid TOML: a key of more than 32 parts")
        return tomllib.loads(written)
    except RecursionError:
        raise ConfigError(f"{path}: no valid TOML: nested too deeply") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: no valid TOML: {_undecodable(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path}: no valid TOML: {'it is JSON' if _is_json(written) else error}"
        ) from None


def _decoded(written: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 as Windows PowerShell writes redirected output."""
    text = written.decode("utf-16" if written.startswith(_UTF_16) else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _undecodable(error: UnicodeDecodeError) -> str:
    if error.object.startswith(b"PAR1"):
        return "it is a Parquet file"
    line = error.object.count(b"\n", 0, error.start) + 1
    byte = error.object[error.start]
    return f"line {line} is not text in UTF-8 (byte 0x{byte:02x}); save the file as UTF-8"


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False

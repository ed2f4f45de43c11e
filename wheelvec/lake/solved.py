"""A cache of solved chains in the lake of their quotes (data.md).

    lake/solved_chains/underlying=TSLA/2023-06.<key>.<digest>.parquet

The key is a digest of everything that a chain depends on: a chain of other quotes, rates or code
has another name. The digest is of the file's bytes, so that a cut or altered file is not used. The
file also states underlying, month and key, so that a renamed file is not used either. All files can
be deleted at any time: the chains are solved again from the quotes.
"""

import datetime as dt
import io
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from wheelvec.lake import files
from wheelvec.model.schemas import SOLVED_CHAIN, SOLVED_COUNTS

log = logging.getLogger(__name__)

FOLDER = "solved_chains"
# chains kept of one month, of different ranges of dte, rates or entry times; the oldest is removed
_MOST = 8
_COUNTS, _PLACE = "wheelvec.counts", "wheelvec.place"


def read(folder: Path, month: dt.date, key: str) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """The chain of a key (SOLVED_CHAIN) and its counts per session (SOLVED_COUNTS), or None."""
    for path in _named(folder, f"{month:%Y-%m}.{key}."):
        try:
            return _read(path, folder, month, key)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            pl.exceptions.PolarsError,
        ) as error:
            log.warning("%s is left aside, and made anew from the quotes: %s", path, error)
    return None


def _read(path: Path, folder: Path, month: dt.date, key: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    held = path.read_bytes()
    if path.name.split(".")[2] != files.digest_of(held):
        raise ValueError("it was altered or cut")
    said = pl.read_parquet_metadata(io.BytesIO(held))
    if said[_PLACE] != _place(folder, month, key):
        raise ValueError(f"it is that of {said[_PLACE]}: it was moved or renamed")
    stated = json.loads(said[_COUNTS])
    stated["session"] = [dt.date.fromisoformat(day) for day in stated["session"]]
    counts = pl.DataFrame(stated, schema=SOLVED_COUNTS)
    return _in_order(pl.read_parquet(io.BytesIO(held)), SOLVED_CHAIN), counts


def _in_order(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The columns of a schema; a query that selects them takes longer than to read a month."""
    return pl.DataFrame([frame.get_column(name) for name in schema])


def damaged(path: Path) -> bool:
    """Whether a kept chain will not be used because its bytes do not match the digest."""
    try:
        return path.name.split(".")[2] != files.digest_of(path.read_bytes())
    except (OSError, IndexError):
        return True


def write(
    folder: Path, month: dt.date, key: str, chain: pl.DataFrame, counts: pl.DataFrame
) -> None:
    """Keep a chain; no error is raised if that fails, as in a read-only lake."""
    buffer = io.BytesIO()
    stated = json.dumps({c: counts[c].to_list() for c in SOLVED_COUNTS}, default=str)
    said = {_COUNTS: stated, _PLACE: _place(folder, month, key)}
    _in_order(chain, SOLVED_CHAIN).write_parquet(
        buffer, compression="lz4", statistics=False, metadata=said
    )
    held = buffer.getvalue()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.locked(folder):
            files.remove_stale(folder)
            path = folder / f"{month:%Y-%m}.{key}.{files.digest_of(held)}.parquet"
            with files.replacing(path, lasting=False) as temporary:
                temporary.write_bytes(held)
            _forget_oldest(folder, month)
    except OSError as error:
        log.debug("the solved chain of %s is not kept: %s", month, error)


def _place(folder: Path, month: dt.date, key: str) -> str:
    return f"{folder.name} {month:%Y-%m} {key}"


def _forget_oldest(folder: Path, month: dt.date) -> None:
    held = _named(folder, f"{month:%Y-%m}.")
    if len(held) > _MOST:
        for _, path in sorted((path.stat().st_mtime_ns, path) for path in held)[:-_MOST]:
            files.remove(path)


def _named(folder: Path, beginning: str) -> list[Path]:
    """The chains in a folder whose names begin so; a glob takes longer than to read a chain."""
    try:
        names = os.listdir(folder)  # noqa: PTH208, no Path of each of thousands
    except OSError:
        return []
    return [
        folder / name for name in names if name.startswith(beginning) and name.endswith(".parquet")
    ]

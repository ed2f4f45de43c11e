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
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from wheelvec.lake import files
from wheelvec.model import atomic
from wheelvec.model.schemas import SOLVED_CHAIN, SOLVED_COUNTS

log = logging.getLogger(__name__)

FOLDER = "solved_chains"
# chains kept of one month, of different ranges of dte, rates or entry times; the oldest is removed
_MOST = 8
_COUNTS, _PLACE = "wheelvec.counts", "wheelvec.place"


class Kept(NamedTuple):
    """The chain of a month, to be kept.

    Attributes:
        month: its first day.
        key: of everything that the chain depends on.
        chain: SOLVED_CHAIN.
        counts: SOLVED_COUNTS, per session.
    """

    month: dt.date
    key: str
    chain: pl.DataFrame
    counts: pl.DataFrame


def names(folder: Path) -> list[str]:
    """The names of the chains in a folder; a glob takes longer than to read a chain."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(".parquet")]  # noqa: PTH208
    except OSError:
        return []


class Found(NamedTuple):
    """The kept chains of some months.

    Attributes:
        months: the first day of each, ascending.
        chain: SOLVED_CHAIN of all of them.
        counts: SOLVED_COUNTS, per session of all of them.
    """

    months: list[dt.date]
    chain: pl.DataFrame
    counts: pl.DataFrame


def read(folder: Path, keys: Mapping[dt.date, str]) -> Found | None:
    """The chains that are kept of some months, or None.

    All files are decoded by one query: of a month, of some thousand rows, the query itself takes
    longest.

    Args:
        folder: the folder of the underlying's chains.
        keys: of everything that the chain of each month depends on, by its first day.
    """
    named = names(folder)
    held = {month: _verified(folder, named, month, keys[month]) for month in sorted(keys)}
    found = {month: each for month, each in held.items() if each is not None}
    if not found:
        return None
    try:
        counts = [pl.DataFrame(stated, schema=SOLVED_COUNTS) for _, stated in found.values()]
        chain = pl.read_parquet([data for data, _ in found.values()])
        return Found(list(found), _in_order(chain, SOLVED_CHAIN), pl.concat(counts))
    except (ValueError, TypeError, pl.exceptions.PolarsError) as error:
        log.warning("the chains in %s are left aside, and made anew: %s", folder, error)
        return None


def _verified(
    folder: Path, named: list[str], month: dt.date, key: str
) -> tuple[bytes, dict[str, Any]] | None:
    """The bytes of a month's file, and the counts that it states; None if there is none."""
    beginning = f"{month:%Y-%m}.{key}."
    for path in (folder / name for name in named if name.startswith(beginning)):
        try:
            return _checked(path, folder, month, key)
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


def _checked(path: Path, folder: Path, month: dt.date, key: str) -> tuple[bytes, dict[str, Any]]:
    held = path.read_bytes()
    if path.name.split(".")[2] != files.digest_of(held):
        raise ValueError("it was altered or cut")
    said = pl.read_parquet_metadata(io.BytesIO(held))
    if said[_PLACE] != _place(folder, month, key):
        raise ValueError(f"it is that of {said[_PLACE]}: it was moved or renamed")
    stated = json.loads(said[_COUNTS])
    stated["session"] = [dt.date.fromisoformat(day) for day in stated["session"]]
    return held, stated


def _in_order(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The columns of a schema; a query that selects them takes longer than to read a month."""
    return pl.DataFrame([frame.get_column(name) for name in schema])


def damaged(path: Path) -> bool:
    """Whether a kept chain will not be used because its bytes do not match the digest."""
    try:
        return path.name.split(".")[2] != files.digest_of(path.read_bytes())
    except (OSError, IndexError):
        return True


def write(folder: Path, kept: Iterable[Kept]) -> None:
    """Keep chains; no error is raised if that fails, as in a read-only lake."""
    held = [(each, _bytes(folder, each)) for each in kept]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.locked(folder):  # once for all: it takes as long as to write a chain
            files.remove_stale(folder)
            for each, data in held:
                name = f"{each.month:%Y-%m}.{each.key}.{files.digest_of(data)}.parquet"
                with atomic.replacing(folder / name, lasting=False) as temporary:
                    temporary.write_bytes(data)
            _forget_oldest(folder)
    except OSError as error:
        log.debug("the solved chains in %s are not kept: %s", folder, error)


def _bytes(folder: Path, kept: Kept) -> bytes:
    buffer = io.BytesIO()
    stated = json.dumps({c: kept.counts[c].to_list() for c in SOLVED_COUNTS}, default=str)
    said = {_COUNTS: stated, _PLACE: _place(folder, kept.month, kept.key)}
    _in_order(kept.chain, SOLVED_CHAIN).write_parquet(
        buffer, compression="lz4", statistics=False, metadata=said
    )
    return buffer.getvalue()


def _place(folder: Path, month: dt.date, key: str) -> str:
    return f"{folder.name} {month:%Y-%m} {key}"


def _forget_oldest(folder: Path) -> None:
    by_month = defaultdict(list)
    for name in names(folder):
        by_month[name.partition(".")[0]].append(folder / name)
    for held in by_month.values():
        if len(held) > _MOST:
            for _, path in sorted((path.stat().st_mtime_ns, path) for path in held)[:-_MOST]:
                files.remove(path)

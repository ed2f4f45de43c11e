"""Chains that were solved before, kept beside the quotes that they came from (data.md).

    lake/solved_chains/underlying=TSLA/2023-06.<key>.<digest>.parquet

The key is a digest of everything that a chain depends on, so that one made of other quotes, rates or code is not found rather
than compared; the digest is that of the file's own bytes, so that a file which was cut or altered is not taken. Whatever lies
here can be deleted at any time: it is made anew from the quotes.
"""

import contextlib
import datetime as dt
import hashlib
import io
import json
import logging
import secrets
from pathlib import Path

import polars as pl

from wheelvec.spec.frames import SOLVED_CHAIN, SOLVED_COUNTS

log = logging.getLogger(__name__)

FOLDER = "solved_chains"
_MOST = 8  # chains of one month, of as many ranges of dte, rates or entry times; the oldest give way
_COUNTS = "wheelvec.counts"


def read(folder: Path, month: dt.date, key: str) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """The chain kept under `key` (SOLVED_CHAIN) and its counts per session (SOLVED_COUNTS); None if there is none."""
    for path in folder.glob(f"{month:%Y-%m}.{key}.*.parquet"):
        try:
            held = path.read_bytes()
            if path.name.split(".")[2] != _digest(held):
                log.warning("%s was altered or cut: it is left aside, and made anew from the quotes", path)
                continue
            counts = pl.DataFrame(json.loads(pl.read_parquet_metadata(io.BytesIO(held))[_COUNTS]), schema=SOLVED_COUNTS)
            return pl.read_parquet(io.BytesIO(held)).select(*SOLVED_CHAIN), counts
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
            log.debug("%s cannot be read: %s", path, error)
    return None


def write(folder: Path, month: dt.date, key: str, chain: pl.DataFrame, counts: pl.DataFrame) -> None:
    """Keep a chain; where that is not possible, as in a read-only lake, nothing is kept and nothing fails."""
    buffer = io.BytesIO()
    stated = json.dumps(counts.select(*SOLVED_COUNTS).to_dict(as_series=False), default=str)
    chain.select(*SOLVED_CHAIN).write_parquet(buffer, compression="zstd", compression_level=1, metadata={_COUNTS: stated})
    held = buffer.getvalue()
    unfinished = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(held)
        unfinished.replace(folder / f"{month:%Y-%m}.{key}.{_digest(held)}.parquet")
        _forget_oldest(folder, month)
    except OSError as error:
        log.debug("the solved chain of %s is not kept: %s", month, error)
    finally:
        _remove(unfinished)


def _forget_oldest(folder: Path, month: dt.date) -> None:
    found = sorted((path.stat().st_mtime_ns, path) for path in folder.glob(f"{month:%Y-%m}.*.parquet"))
    for _, path in found[:-_MOST]:
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # another process was faster, or this one may not
        path.unlink()


def _digest(held: bytes) -> str:
    return hashlib.blake2b(held, digest_size=16).hexdigest()

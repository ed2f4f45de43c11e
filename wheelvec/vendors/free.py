"""`get`: years of real option chains from a set that is public, without paying.

    release or mirror --download--> files --digests--> import by the layout alphavantage --> lake

The set stands as the release data-v1 of the repository lambdaclass/options_portfolio_backtester on
GitHub: for each of three funds a Parquet file of the chain at 16:15 of each day, and one of its
daily bars with dividends and splits. Nothing of it is part of wheelvec.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from wheelvec.lake import files, place
from wheelvec.model import atomic
from wheelvec.model.errors import FetchError, InputError, LakeError, cut, unknown_name
from wheelvec.model.fields import read_day
from wheelvec.model.forks import refuse_forked
from wheelvec.model.progress import Progress, Report, reporting
from wheelvec.model.schemas import readable
from wheelvec.vendors.download import digest_of, download
from wheelvec.vendors.files.importing import Imported, import_files

RELEASE = "https://github.com/lambdaclass/options_portfolio_backtester/releases/download/data-v1"
NOTICE = (
    "The data are the release data-v1 of lambdaclass/options_portfolio_backtester on GitHub. The "
    "code beside them is under the MIT licence; the rights to the data themselves are unclear, so "
    "ask before you pass them on. They are fetched to this machine only, and no part of wheelvec."
)
LAYOUT = "alphavantage"
_INCOMING = Path(".incoming", "free")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class PublicFile:
    """A file of the set.

    Attributes:
        name: of the file.
        digest: the SHA-256 that it had when it was looked at; "" if it is not known.
        size: its bytes then; 0 if they are not known.
    """

    name: str
    digest: str = ""
    size: int = 0


# The chain and the daily bars of each fund.
SETS: dict[str, tuple[PublicFile, PublicFile]] = {
    "SPY": (
        PublicFile(
            "SPY_options.parquet",
            "a7152991b45b81f090f970e945bf88def8093b8ecb9b250e9891cb6d88041f0a",
            631_738_559,
        ),
        PublicFile(
            "SPY_underlying.parquet",
            "847e60a441eb10969d87cd4a6da604257b782d9076168f68d5730b84096c79db",
        ),
    ),
    "QQQ": (
        PublicFile(
            "QQQ_options.parquet",
            "1f831556cd87ec9d7af43d3b47a69a829ffb2fb199cfcef4ff55d289badf8734",
            387_476_183,
        ),
        PublicFile("QQQ_underlying.parquet"),
    ),
    "IWM": (
        PublicFile(
            "IWM_options.parquet",
            "d16a728116f8095c97c39ed66e75000bf66a0ab422b678002eb9f6086fd10ee5",
            308_766_441,
        ),
        PublicFile("IWM_underlying.parquet"),
    ),
}

AS_PUBLISHED, ACCEPTED, UNKNOWN = "as published", "accepted", "not known"
FILES = pl.Schema(
    {"file": pl.String(), "bytes": pl.Int64(), "digest": pl.String(), "state": pl.String()}
)


@dataclass(frozen=True)
class Got:
    """The files that `get` fetched, and their import.

    Attributes:
        files: one row per file: its name, bytes and SHA-256, and whether that is the one published
            ("as published"), accepted by hand ("accepted"), or of a file whose digest is not known
            ("not known").
        imported: the rows read, written and set aside (`import_files`).
        notice: on the rights to the data.

    Example:
        >>> import polars as pl
        >>> from wheelvec.vendors.free import Got
        >>> "rights to the data" in Got(files=pl.DataFrame(), imported=None).notice
        True
    """

    files: pl.DataFrame
    imported: Imported
    notice: str = NOTICE


def get(
    symbol: str,
    *,
    lake: str | Path,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    source: str | Path | None = None,
    accept: Iterable[str] = (),
    progress: Progress = None,
) -> Got:
    """Get years of real end-of-day option chains of SPY, QQQ or IWM into a lake, free of charge.

    The files are downloaded (SPY: 632 MB; an interrupted download goes on where it ended), compared
    with the digests that are known of them, imported, and removed; daily bars, dividends and splits
    come from the file beside the chains. The code beside the data is under the MIT licence, the
    rights to the data themselves are unclear: see `Got.notice`.

    The quotes stand at 16:15. The price of the underlying beside them is theirs, by put-call
    parity; settlement is by the daily bars.

    Args:
        symbol: SPY (from 2008), QQQ or IWM.
        lake: the lake's folder, made if need be.
        start: the first session to import; None: the first there is.
        end: the last one; None: the last there is.
        source: a folder that has the files already, which stay; or the address of a mirror; None:
            the release on GitHub.
        accept: SHA-256 digests, in hexadecimal digits, of files to take though they are not the
            ones that are known.
        progress: True: a bar, on a terminal or in a notebook; or a function, called with (done,
            of, what).

    Returns:
        The files and what was imported of them.

    Raises:
        InputError: for an unknown symbol, a date or digest that is none, or a folder without the
            files.
        FetchError: if a file cannot be downloaded, or has another digest than the known one; it
            says which, and the file is kept.
        DataError: for a file that is damaged or of another layout; nothing is written then.
        LakeError: if the lake cannot be written.

    Example:
        >>> import wheelvec as wv
        >>> wv.get("TSLA", lake="lake/")
        Traceback (most recent call last):
        wheelvec.model.errors.InputError: unknown symbol 'TSLA'; allowed: SPY, QQQ, IWM
    """
    refuse_forked()
    name = str(symbol).upper()
    if name not in SETS:
        raise InputError(unknown_name("symbol", symbol, SETS))
    first = None if start is None else read_day("start", start)
    last = None if end is None else read_day("end", end)
    if first and last and first > last:
        raise InputError(f"start {first} is after end {last}")
    taken, root = _digests(accept), Path(lake)
    place.check_writable(root)
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(reporting(progress, "MB"))
        paths, incoming = _arrived(SETS[name], root, source, stack, report)
        found = [_checked(file, path, taken) for file, path in zip(SETS[name], paths, strict=True)]
        if first or last:
            folder = stack.enter_context(place.staging(root))
            used = [_within(path, folder / path.name, first, last) for path in paths]
        else:
            used = paths
        chains, daily = used
        imported = import_files(
            chains, layout=LAYOUT, lake=root, symbols=[name], symbol=name, underlying=daily,
            progress=report,
        )  # fmt: skip
        if incoming is not None:
            _remove(incoming, paths)
    return Got(pl.DataFrame(found, schema=FILES, orient="row"), imported)


# ---- files


def _arrived(
    wanted: Iterable[PublicFile],
    root: Path,
    source: str | Path | None,
    stack: contextlib.ExitStack,
    progress: Report | None,
) -> tuple[list[Path], Path | None]:
    """The paths of the files, and the folder that they were downloaded to; None for a user's."""
    address = RELEASE if source is None else str(source).rstrip("/")
    if re.match(r"https?://", address):
        folder = stack.enter_context(_incoming(root))
        return [_downloaded(file, address, folder, progress) for file in wanted], folder
    given = Path(source or "")
    paths = [given / file.name for file in wanted]
    for path in paths:
        if not path.is_file():
            what = "no such file" if given.is_dir() else "no such folder, and no http address"
            raise InputError(f"{path if given.is_dir() else given}: {what}")
    return paths, None


def _downloaded(file: PublicFile, address: str, folder: Path, progress: Report | None) -> Path:
    """The path of a file, downloaded unless it is there."""
    path = folder / file.name

    def show(done: int, size: int) -> None:
        if progress is not None:
            progress(done // 1_000_000, max(size // 1_000_000, 1), f"MB of {file.name}")

    if not path.exists():
        download(f"{address}/{file.name}", path, show)
    return path


@contextlib.contextmanager
def _incoming(root: Path) -> Iterator[Path]:
    """A hidden folder for downloads in a lake, locked; removed at the end if it is empty."""
    folder = root / _INCOMING
    made = [above for above in (root, *root.absolute().parents) if not above.exists()]
    try:
        with contextlib.ExitStack() as lock:
            while True:  # another process may remove it as unused
                with atomic.writing(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                lock.enter_context(files.locked(folder, wait=False))
                if (folder / files.LOCK).exists():
                    break
                lock.close()
            files.remove_stale(folder)
            yield folder
            if {path.name for path in folder.iterdir()} == {files.LOCK}:
                (folder / files.LOCK).unlink()
    except FetchError:
        if {path.name for path in folder.iterdir()} == {files.LOCK}:
            (folder / files.LOCK).unlink()
        raise
    finally:
        for empty in (folder, folder.parent, *made):
            with contextlib.suppress(OSError):
                empty.rmdir()


def _remove(folder: Path, paths: Iterable[Path]) -> None:
    """Remove downloads that are in the lake now."""
    with atomic.writing(folder):
        for path in paths:
            path.unlink(missing_ok=True)


def _digests(accept: Iterable[str]) -> set[str]:
    given = [accept] if isinstance(accept, str) else list(accept)
    for digest in given:
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise InputError(
                f"accept = {cut(digest)}: expected a SHA-256 digest of 64 hexadecimal digits"
            )
    return {digest.lower() for digest in given}


def _checked(file: PublicFile, path: Path, taken: set[str]) -> tuple[str, int, str, str]:
    """The row of `FILES` of a file.

    Raises:
        FetchError: if its digest is neither the known one nor accepted.
    """
    try:
        size, digest = path.stat().st_size, digest_of(path)
    except OSError as error:
        raise LakeError(f"{path}: cannot be read: {error.strerror}") from error
    if digest == file.digest:
        return file.name, size, digest, AS_PUBLISHED
    if digest in taken:
        return file.name, size, digest, ACCEPTED
    if not file.digest:
        return file.name, size, digest, UNKNOWN
    known = f" of {file.size:,} bytes" if file.size else ""
    raise FetchError(
        f"{path} has {size:,} bytes and the SHA-256 {digest}; known is {file.digest}{known}. It is "
        "another file than the one that was looked at, or was damaged on its way. To take it as it "
        f"is, accept its digest (--accept-digest {digest}, accept=); to fetch it anew, remove it"
    )


# ---- import


def _within(path: Path, target: Path, first: dt.date | None, last: dt.date | None) -> Path:
    """A copy of a file with the rows of some days; the file itself if it has no dates."""
    with readable(str(path)):
        rows = pl.scan_parquet(path, glob=False)
        if "date" not in rows.collect_schema():
            return path  # the import says what it lacks
        day = pl.col("date").cast(pl.String).str.head(10).str.to_date("%Y-%m-%d", strict=False)
        bounds = day.is_between(first or dt.date.min, last or dt.date.max)
        # a day that cannot be read stays, and is refused by the import
        rows.filter(bounds | (day.is_null() & pl.col("date").is_not_null())).sink_parquet(
            target, compression="lz4"
        )
        if pl.scan_parquet(target, glob=False).select(pl.len()).collect().item():
            return target
        days = rows.select(first=day.min(), last=day.max()).collect().row(0)
    if days[0] is None:
        return path  # the import says that it is empty
    asked = [f"{word} {day}" for word, day in (("start", first), ("end", last)) if day]
    raise InputError(
        f"{' and '.join(asked)}: {path.name} has no row of these days, it has {days[0]} to "
        f"{days[1]}"
    )

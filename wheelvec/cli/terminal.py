"""Standard output and standard error.

Warnings and log messages as lines, progress, and the one line of a failure.
"""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wheelvec.model.errors import WheelvecError

LONGEST = 400  # characters of a message that was not written for the terminal

Progress = Callable[..., None]


class ReaderGoneError(Exception):
    """Who read standard output has closed it."""


class OutputError(WheelvecError):
    """Standard output cannot be written."""


def write(text: str = "") -> None:
    """Print a result to standard output, at once: what standard error gets later stands below it.

    Raises:
        ReaderGoneError: if nobody reads any more.
        OutputError: if it cannot be written for another reason: a full disk.
    """
    if sys.stdout is None:  # closed by who called
        return
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _forget_output()
        raise ReaderGoneError from None
    except OSError as error:
        _forget_output()
        raise OutputError(
            f"standard output: cannot be written: {error.strerror or error}"
        ) from None


def remark(text: str) -> None:
    """Print a line to standard error, as it is at the time.

    A progress bar puts itself in its place.
    """
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)


def _forget_output() -> None:
    """Nothing that is still buffered may raise when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ToStandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        remark(self.format(record))


@contextlib.contextmanager
def console(verbose: bool) -> Iterator[None]:
    """Warnings and log messages as single lines, while a command runs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    package, handler = logging.getLogger("wheelvec"), _ToStandardError()
    before = package.level
    handler.setFormatter(logging.Formatter("wheelvec: %(levelname)s: %(message)s"))
    package.addHandler(handler)
    package.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)


@contextlib.contextmanager
def without_panics() -> Iterator[None]:
    """Keep from the terminal what Polars' compiled code writes of a panic before it raises.

    It writes some lines straight to file descriptor 2; a damaged Parquet file of a user's can cause
    a panic. Python's own standard error goes on, by a copy of it.
    """
    if "--debug" in sys.argv or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept, before = os.dup(2), sys.stderr
    try:
        if _is_descriptor(before, 2):
            sys.stderr = os.fdopen(
                os.dup(kept), "w", encoding=before.encoding, errors="backslashreplace", buffering=1
            )
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        if sys.stderr is not before:
            sys.stderr.close()
            sys.stderr = before


def _is_descriptor(stream: object, number: int) -> bool:
    try:
        return stream.fileno() == number  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, OSError, ValueError):
        return False


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    remark(f"wheelvec: warning: {one_line(str(message))}")


@contextlib.contextmanager
def progress_bar(label: str, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar, if standard error is a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int, text: str = label) -> None:
            """Gone once all is done, so that a question may stand there; back when more begins."""
            bar.start()
            bar.update(task, completed=done, total=total, description=text)
            if done == total:
                bar.stop()

        yield show


def message(error: BaseException) -> str:
    """One line: what wheelvec says itself as it stands, a refusal of the system with its file,
    anything else with its type.
    """
    if isinstance(error, WheelvecError):
        return str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = one_line(str(error))
    cut = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return f"{type(error).__name__}: {cut}" if cut else type(error).__name__


def one_line(text: str) -> str:
    """Text with every run of blanks and line ends as one blank."""
    return " ".join(text.split())


def fail(code: int, message: str) -> int:
    """Say why on standard error; the exit code."""
    remark(f"wheelvec: error: {one_line(message)}")
    return code

"""Output on the terminal: results, warnings, log messages, progress and errors."""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.model.errors import WheelvecError
from wheelvec.model.progress import bar

if TYPE_CHECKING:
    from wheelvec.run.results.warnings import RunWarning

log = logging.getLogger("wheelvec.cli")

LONGEST = 400  # characters of the message of an exception that is not a WheelvecError

Progress = Callable[..., None]


class ReaderGoneError(Exception):
    """The reader of standard output has closed it."""


class OutputError(WheelvecError):
    """Standard output cannot be written."""


def write(text: str = "") -> None:
    """Print text to standard output and flush it, so that later errors are printed after it.

    Raises:
        ReaderGoneError: if the reader has closed the pipe.
        OutputError: if it cannot be written for another reason, such as a full disk.
    """
    if sys.stdout is None:  # closed by the calling process
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


def where(out: Path) -> str:
    """The text with the folder of what was saved and its files, except hidden ones."""
    from wheelvec.report.text import wrapped

    files = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    return f"The result is in {out}{os.sep}\n" + wrapped(", ".join(files))


def remark(text: str) -> None:
    """Print a line to the current standard error, which a progress bar may have replaced."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)


def _forget_output() -> None:
    """Discard buffered output, so that flushing it at exit raises nothing."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ToStandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        remark(self.format(record))


@contextlib.contextmanager
def console(verbose: bool) -> Iterator[None]:
    """Print warnings and log messages as single lines within the context."""
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
    """Suppress the lines that Polars writes about a panic before it raises an exception.

    A damaged Parquet file can cause a panic. Polars writes to file descriptor 2, which is
    redirected to the null device; Python's standard error keeps working by a copy of the
    descriptor.
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
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), 2)
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


def warn(found: Iterable["RunWarning"]) -> None:
    """Print warnings of a run to standard error, where standard output does not include them."""
    for warning in found:
        log.warning("%s", warning)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    remark(f"wheelvec: warning: {one_line(str(message))}")


@contextlib.contextmanager
def progress_bar(label: str, quiet: bool) -> Iterator[Progress | None]:
    """A function that updates a progress bar; None if standard error is not a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    with bar(label) as show:
        yield show


def message(error: BaseException) -> str:
    """The message of an exception on one line.

    Errors of wheelvec are unchanged, errors of the system have the file, others the type.
    """
    if isinstance(error, WheelvecError):
        return str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = one_line(str(error))
    cut = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return f"{type(error).__name__}: {cut}" if cut else type(error).__name__


def one_line(text: str) -> str:
    """The text with every run of white space replaced by one blank."""
    return " ".join(text.split())


def fail(code: int, message: str) -> int:
    """Print an error message; the exit code is returned."""
    remark(f"wheelvec: error: {one_line(message)}")
    return code

"""The option --executor: a Dask cluster for a command, and what its workers could not do."""

import argparse
import contextlib
import importlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wheelvec.cli.terminal import one_line, remark
from wheelvec.model.errors import InputError, WheelvecError, counted

if TYPE_CHECKING:
    import polars as pl

SCHEMES = ("tcp", "tls")
WAIT = 10.0  # seconds for the scheduler to answer


class IncompleteError(WheelvecError):
    """A command has done its work, but not for some underlyings, which were listed."""


def add_executor(command: argparse.ArgumentParser, computed: str) -> None:
    """Add --executor to a command.

    Args:
        command: the command.
        computed: the computation of the workers, in words.
    """
    command.add_argument(
        "--executor",
        metavar="tcp://HOST:PORT",
        help=f"the scheduler of a Dask cluster, whose workers compute {computed}; default: this "
        "process",
    )


@contextlib.contextmanager
def executor_of(address: str | None) -> Iterator[Any]:
    """A client of the Dask cluster at an address, closed at the end; None gives None.

    Args:
        address: of its scheduler, as the option --executor has it.

    Raises:
        InputError: for an address of another form, one at which no scheduler answers, or without
            the extra `wheelvec[cluster]`.
    """
    if address is None:
        yield None
        return
    _reach(address)
    try:
        distributed: Any = importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise InputError(
            f"--executor needs packages that are not installed ({error.name} is missing): run pip "
            "install '.[cluster]' in a clone of wheelvec's repository (the extra wheelvec[cluster])"
        ) from None
    try:
        client = distributed.Client(address, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"--executor {address}: no scheduler of Dask answers: {error}") from None
    with client:
        yield client


def _reach(address: str) -> None:
    """Refuse an address at which nothing listens, at once and without Dask's own log messages."""
    try:
        parts = urlsplit(address)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:  # a port that is no number
        scheme, host, port = "", None, None
    if scheme not in SCHEMES or host is None or port is None:
        raise InputError(f"--executor {address}: expected tcp://HOST:PORT of a Dask scheduler")
    try:
        with socket.create_connection((host, port), timeout=WAIT):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"--executor {address}: cannot be reached: {reason}") from None


def report_failures(failures: "pl.DataFrame") -> None:
    """List underlyings that were left out on standard error, if there are any.

    It is called when everything else is printed and saved.

    Args:
        failures: `schemas.FAILURES`.

    Raises:
        IncompleteError: if there are any; the exit code of the command is then 3.
    """
    for underlying, error in failures.rows():
        remark(f"wheelvec: failed: {underlying}: {one_line(error)}")
    if failures.height:
        raise IncompleteError(
            f"{counted(failures.height, 'underlying')} left out for errors, listed above"
        )

"""The option --executor: which addresses are refused, and how, and the exit code for what failed."""

import argparse
import socket
import sys
from typing import Any

import polars as pl
import pytest

from wheelvec.cli import executors, program
from wheelvec.cli.executors import executor_of, report_failures
from wheelvec.model.errors import InputError
from wheelvec.model.schemas import FAILURES

FAILED = pl.DataFrame([("ALFA", "a file\nis damaged"), ("BRVO", "no bars")], FAILURES, orient="row")


def test_no_address_is_no_executor() -> None:
    with executor_of(None) as executor:
        assert executor is None


@pytest.mark.parametrize(
    "address", ["host:1", "tcp://host", "tcp://:1", "tcp://host:x", "http://host:1", "tcp://[:1"]
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="expected tcp://HOST:PORT") as raised:
        executor_of(address).__enter__()
    assert str(raised.value).startswith(f"--executor {address}: ")


def test_an_address_at_which_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as held:  # bound, so that nobody else listens there; it does not either
        held.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(InputError, match="cannot be reached: Connection refused"):
            executor_of(address).__enter__()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(InputError, match=r"distributed is missing.*wheelvec\[cluster\]"):
            executor_of(address).__enter__()


def test_failures_are_listed_and_the_exit_code_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace) -> None:
        report_failures(FAILED if options.name == "some" else FAILED.clear())

    def only_one_command(prog: str) -> Any:
        parser = argparse.ArgumentParser(prog)
        parser.add_argument("name")
        parser.set_defaults(command=run)
        return parser

    monkeypatch.setattr(program, "parser", only_one_command)
    assert program.main(["none"]) == 0
    assert capsys.readouterr() == ("", "")
    assert program.main(["some"]) == program.INCOMPLETE == 3
    out, error = capsys.readouterr()
    assert out == ""
    assert error.splitlines() == [
        "wheelvec: failed: ALFA: a file is damaged",
        "wheelvec: failed: BRVO: no bars",
        "wheelvec: error: 2 underlyings left out for errors, listed above",
    ]


def test_the_option_is_described() -> None:
    command = argparse.ArgumentParser("run")
    executors.add_executor(command, "underlyings")
    assert command.parse_args([]).executor is None
    assert command.parse_args(["--executor", "tcp://host:1"]).executor == "tcp://host:1"
    assert "whose workers compute underlyings" in " ".join(command.format_help().split())

"""The command line: the `wheelvec` command and `python -m wheelvec.cli` call `main`."""

from wheelvec.cli.program import FAILED, INTERRUPTED, READER_GONE, USAGE, main, parser

__all__ = ["FAILED", "INTERRUPTED", "READER_GONE", "USAGE", "main", "parser"]

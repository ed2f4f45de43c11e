"""The command line: `main` is what the `wheelvec` command and `python -m wheelvec.cli` call."""

from wheelvec.cli.program import FAILED, INTERRUPTED, READER_GONE, USAGE, main, parser

__all__ = ["FAILED", "INTERRUPTED", "READER_GONE", "USAGE", "main", "parser"]

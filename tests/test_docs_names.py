"""docs/api.md and docs/command-line.md are complete, and are what this code writes."""

import re

import wheelvec as wv
from tests import docs_names
from wheelvec import cli

AGAIN = "`make docs` writes it anew"


def test_the_page_of_names_is_what_this_code_writes() -> None:
    assert docs_names.api() == docs_names.API.read_text(encoding="utf-8"), AGAIN


def test_the_page_of_commands_is_what_this_code_writes() -> None:
    assert docs_names.command_line() == docs_names.COMMANDS.read_text(encoding="utf-8"), AGAIN


def test_every_public_name_stands_in_one_section() -> None:
    """A new name gets its place in SECTIONS of tests/docs_names.py."""
    listed = [name for _, names in docs_names.SECTIONS.values() for name in names]
    returned = [kind.__name__ for kind in docs_names.RETURNED]
    assert sorted(listed) == sorted([*(set(wv.__all__) - docs_names.TEXTS), *returned])
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", docs_names.api(), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(docs_names.public())
    assert [name for name, said in rows if not said.endswith(".")] == []


def test_every_command_and_option_is_described() -> None:
    page = docs_names.command_line()
    found = [name for name, _ in docs_names._commands(cli.parser())]
    assert {"run", "sweep", "import eod", "import dbn"} <= set(found)
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == found
    assert [row for row in page.splitlines() if row.endswith("|  |")] == []
    assert (
        "| `--lake FOLDER` | the lake to read: a folder, or s3://bucket/prefix or gs://bucket/prefix; must be given |"
        in page
    )
    assert "%(" not in page

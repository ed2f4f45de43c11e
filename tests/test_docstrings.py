"""Every public name says what it does, describes its arguments, and has an example that runs."""

from __future__ import annotations

import doctest
import inspect
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wheelvec as wv
from tests.docs_names import public

# Nobody calls these: functions of the library make them.
MADE_BY_THE_LIBRARY = {"Bootstrap", "Overfitting", "Result", "Sweep", "Ranking"}


PUBLIC = public()


def text_of(value: Any) -> str:
    """A docstring without its indentation; empty for a class without one."""
    return inspect.cleandoc(value.__doc__ or "") if "__doc__" in dir(value) else ""


def entries(text: str) -> set[str]:
    """The names that the sections of a docstring describe."""
    sections = re.findall(
        r"^(?:Args|Attributes|Fields):\n((?:(?: .*)?\n)*)", text + "\n", re.MULTILINE
    )
    return {
        name
        for section in sections
        for name in re.findall(r"^ {4}\*{0,2}(\w+):", section, re.MULTILINE)
    }


def undescribed(value: Callable[..., Any]) -> list[str]:
    """The parameters of a function or a class that its docstring does not describe."""
    if isinstance(value, type) and issubclass(value, Exception) and "__init__" not in vars(value):
        return []  # the arguments of every exception
    described = entries(text_of(value))
    return [
        name
        for name in inspect.signature(value).parameters
        if name != "self" and name != "cls" and name not in described
    ]


@pytest.fixture(scope="module", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Examples that ask for the same demo market get one and the same, and write into a folder that
    goes.
    """
    made: dict[str, wv.Market] = {}
    make = wv.demo_market

    def demo_market(**arguments: Any) -> wv.Market:
        key = repr(arguments)
        if key not in made:
            made[key] = make(**arguments)
        return made[key]

    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wv, "demo_market", demo_market)
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.chdir(folder)
        yield


def ran(name: str, text: str) -> str:
    """The failures of the examples of a docstring; each imports the names it uses, as a reader must."""
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, name, None, None)
    out: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=out.append)
    return "".join(out)


@pytest.mark.parametrize("name", PUBLIC)
def test_example_runs(name: str) -> None:
    text = text_of(PUBLIC[name])
    found = (
        bool(doctest.DocTestParser().get_examples(text))
        and re.search(r"^Example:$", text, re.MULTILINE) is not None
    )
    assert found, "no example"
    failed = ran(name, text)
    assert not failed, failed


def test_other_examples_run() -> None:
    """Those of names that are not public, in the modules that hold public ones."""
    modules = {
        inspect.getmodule(inspect.unwrap(value))
        for value in PUBLIC.values()
        if not isinstance(value, property)
    }
    known = {text_of(value) for value in PUBLIC.values()}
    finder = doctest.DocTestFinder(exclude_empty=True)
    texts = {
        test.name: test.docstring
        for module in modules
        if module
        for test in finder.find(module)
        if test.examples
    }
    others = {
        name: text for name, text in texts.items() if inspect.cleandoc(text or "") not in known
    }
    assert "wheelvec.model.config.fields" in others
    assert "".join(ran(name, text or "") for name, text in others.items()) == ""


@pytest.mark.parametrize("name", [name for name, value in PUBLIC.items() if callable(value)])
def test_arguments_are_described(name: str) -> None:
    if name not in MADE_BY_THE_LIBRARY:
        assert undescribed(PUBLIC[name]) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_first_line_is_a_sentence(name: str) -> None:
    first, *rest = text_of(PUBLIC[name]).splitlines()
    assert first.endswith(".")
    assert len(first) <= 128 - 7  # between its margin and its quotes
    assert not rest or not rest[0]


def test_what_is_missing_is_found() -> None:
    def half(one: int, two: int) -> None:
        """Do something.

        Args:
            one: described; two: is not.

        Raises:
            two: where it stands it is no argument.
        """

    assert undescribed(half) == ["two"]
    assert "Expected:\n    3" in ran("sum", ">>> 1 + 1\n3\n")
    assert ran("sum", ">>> 1 + 1\n2\n") == ""
    assert len(PUBLIC) > 80
    assert {
        "Market.fingerprint",
        "Config.from_toml",
        "Sweep.over_seeds",
        "Ranking.text",
        "implied_vol",
    } <= PUBLIC.keys()

"""Polars does not survive a fork.

The child has its locks and queues but none of its threads, and waits for ever.

Python before 3.14 forks by default on Linux where `multiprocessing` is used. A process that was
forked after Polars had started its threads is refused where wheelvec is entered; one that was
forked before, or that runs another program, is not.
"""

import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wheelvec.model.errors import WheelvecError

Class = TypeVar("Class", bound=type)

_TASKS = Path("/proc/self/task")  # Linux: a folder for each thread
_POOL = re.compile(r"polars-\d+\s*")

_entered = False  # whether wheelvec was entered, and so Polars used, in this process
_running = False  # whether Polars' threads ran when this process began to fork
_forked = False  # whether this process was forked while they ran


def refuse_forked() -> None:
    """Called by whatever is about to use Polars for the user.

    Raises:
        WheelvecError: in a process that was forked after Polars was used.
    """
    global _entered
    if _forked:
        raise WheelvecError(
            "this process was forked after Polars was used, and Polars would wait for ever in it: "
            "start processes by "
            '"spawn", as multiprocessing.get_context("spawn").Pool() or ProcessPoolExecutor(mp_context=get_context("spawn"))'
        )
    _entered = True


def refusing_forked(cls: Class) -> Class:
    """Let every public method and property of a class that holds frames call `refuse_forked` first.

    Args:
        cls: the class; its representations on a terminal and in a notebook count as public.
    """
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") or name in ("__repr__", "_repr_html_"):
            setattr(cls, name, _guarded(member, cls, name))
    return cls


def _guarded(member: Any, cls: type, name: str) -> Any:
    """The same member, refused in a forked process.

    What is neither method nor property stays as it is.
    """
    if isinstance(member, property):
        return (
            property(_refusing(member.fget), member.fset, member.fdel, member.__doc__)
            if member.fget
            else member
        )
    if isinstance(member, functools.cached_property):
        guarded = functools.cached_property(_refusing(member.func))
        guarded.__set_name__(cls, name)
        return guarded
    if isinstance(member, classmethod | staticmethod):
        return type(member)(_refusing(member.__func__))
    return _refusing(member) if callable(member) and not isinstance(member, type) else member


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def guarded(*arguments: Any, **named: Any) -> Any:
        refuse_forked()
        return function(*arguments, **named)

    return guarded


def _polars_runs() -> bool:
    """Whether Polars' thread pool was started, by the names of the threads.

    Elsewhere than on Linux, whether we used it.
    """
    try:
        return any(_POOL.fullmatch((task / "comm").read_text()) for task in _TASKS.iterdir())
    except OSError:
        return _entered


def _before() -> None:
    global _running
    _running = "polars" in sys.modules and _polars_runs()


def _in_child() -> None:
    global _forked
    _forked = _forked or _running


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before, after_in_child=_in_child)

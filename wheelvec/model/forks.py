"""Detection of processes that were forked after Polars had started its threads.

Polars deadlocks in such a process: the child inherits its locks and queues, but no threads. Before
version 3.14 Python's `multiprocessing` forks by default on Linux. Every public function and method
of wheelvec that uses Polars raises an error in such a process instead. Processes that were forked
earlier, or that run another program, are not affected.
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
_POOL = re.compile(r"polars-\d+\s*")  # names of the threads of Polars' pool

_used = False  # whether this process has called wheelvec, and so used Polars
_running = False  # whether Polars' threads ran when this process began to fork
_forked = False  # whether this process was forked while they ran


def refuse_forked() -> None:
    """Raise an error if Polars would deadlock in this process.

    Raises:
        WheelvecError: in a process that was forked after Polars was used.
    """
    global _used
    if _forked:
        raise WheelvecError(
            "this process was forked after Polars was used, and Polars would deadlock in it: "
            'start processes by "spawn", as multiprocessing.get_context("spawn").Pool() or '
            'ProcessPoolExecutor(mp_context=get_context("spawn"))'
        )
    _used = True


def refusing_forked(cls: Class) -> Class:
    """The class, with a call of `refuse_forked` before every public method and property.

    Args:
        cls: a class with frames; its representations on a terminal and in a notebook count as
            public.
    """
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") or name in ("__repr__", "_repr_html_"):
            setattr(cls, name, _guarded(member, cls, name))
    return cls


def _guarded(member: Any, cls: type, name: str) -> Any:
    """The member with a call of `refuse_forked` before it; unchanged if it is not callable."""
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
    """Whether Polars' thread pool was started.

    On Linux this is seen by the names of the threads, elsewhere by our own use of Polars.
    """
    try:
        return any(_POOL.fullmatch((task / "comm").read_text()) for task in _TASKS.iterdir())
    except OSError:
        return _used


def _before() -> None:
    global _running
    _running = "polars" in sys.modules and _polars_runs()


def _in_child() -> None:
    global _forked
    _forked = _forked or _running


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before, after_in_child=_in_child)

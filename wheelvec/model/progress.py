"""Progress of long work: a bar on a terminal or in a notebook, nothing where output is piped."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from wheelvec.model import markup
from wheelvec.model.errors import InputError, cut

Report = Callable[..., None]  # done, of, and for some work a text or a number more
Progress = bool | Report | None
SECONDS = 0.2  # between two updates of a notebook's bar


@contextlib.contextmanager
def reporting(progress: Progress, label: str) -> Iterator[Report | None]:
    """The function that long work calls with how much of it is done.

    Args:
        progress: a function of the user, which is called as it is; True: a bar, on a terminal or in
            a notebook; False or None: nothing.
        label: the counted items, in words.

    Raises:
        InputError: for any other value.

    Example:
        >>> with reporting(lambda done, of: print(done, of), "months") as report:
        ...     report(1, 2)
        1 2
        >>> with reporting(False, "months") as report:
        ...     print(report)
        None
    """
    if progress is True:
        with bar(label) as report:
            yield report
    elif progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    else:
        raise InputError(f"progress = {cut(progress)}: expected True, False, None or a function")


@contextlib.contextmanager
def bar(label: str) -> Iterator[Report | None]:
    """A function that updates a bar; None where there is neither a notebook nor a terminal."""
    if _is_notebook():
        yield _NotebookBar(label).show
    elif sys.stderr is not None and sys.stderr.isatty():
        with _terminal_bar(label) as report:
            yield report
    else:
        yield None


@contextlib.contextmanager
def _terminal_bar(label: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
    ) as shown:
        task = shown.add_task("reading", total=None)

        def show(done: int, of: int, text: object = label) -> None:
            """Update the bar; it is removed when all is done, and shown again by another update."""
            shown.start()
            shown.update(task, completed=done, total=of, description=_text(text, label))
            if done == of:
                shown.stop()

        yield show


def _is_notebook() -> bool:
    """Whether this runs in a kernel that displays HTML; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _text(more: object, label: str) -> str:
    """The label of the counted items; the number of cells that sweeps report beside is left out."""
    return more if isinstance(more, str) else label


class _NotebookBar:
    """A bar in a notebook's output; the saved output names no time, so that reruns are equal."""

    def __init__(self, label: str) -> None:
        self._label, self._last = label, 0.0
        self._handle: Any = None

    def show(self, done: int, of: int, text: object = None) -> None:
        """Update the bar, a few times a second."""
        now = time.monotonic()
        if done != of and self._handle is not None and now - self._last < SECONDS:
            return
        self._last = now
        from IPython import display as notebook

        module: Any = notebook
        shown = module.HTML(_bar_html(done, of, _text(text, self._label)))
        if self._handle is None:
            self._handle = module.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def _bar_html(done: int, of: int, text: str) -> str:
    counted = f"{done:,} of {of:,} {text}"
    element = f'<progress value="{done:g}" max="{of:g}" style="width:20em"></progress> '
    return markup.block(element + markup.escaped(counted))

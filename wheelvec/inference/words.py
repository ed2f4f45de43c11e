"""Paragraphs of bands and verdicts, as a terminal shows them."""

import textwrap
from collections.abc import Iterable

from wheelvec.run.results.warnings import RunWarning, brief

WIDTH = 80  # columns


def wrapped(text: str, indent: str = "", hanging: str = "") -> list[str]:
    """The lines of a paragraph; whole words, hyphens and all.

    Args:
        text: the paragraph.
        indent: before each line.
        hanging: before each line but the first as well.
    """
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )


def warned(warnings: Iterable[RunWarning]) -> list[str]:
    """The lines of the first warnings of each kind, after an empty one; none without warnings.

    Args:
        warnings: of the data or the run that a figure rests on.
    """
    texts = brief(warnings)
    if not texts:
        return []
    lines = [line for text in texts for line in wrapped(f"- {text}", "  ", "  ")]
    return ["", "Warnings: check whether these are intended", *lines]

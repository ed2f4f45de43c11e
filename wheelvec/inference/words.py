"""Paragraphs of bands and verdicts, as a terminal shows them."""

import textwrap

from wheelvec.run.results.shown import WIDTH


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

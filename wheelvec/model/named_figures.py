"""Figures by name: a dict that notebooks show as a table."""

from typing import TypeVar

from wheelvec.model import markup

Value = TypeVar("Value")


class NamedFigures(dict[str, Value]):
    """Figures by name, a dict like any other, that a notebook shows as a table.

    Example:
        >>> figures = NamedFigures(total_wheels=3, win_rate=66.7)
        >>> figures, figures.to_dict() == figures
        ({'total_wheels': 3, 'win_rate': 66.7}, True)
    """

    def to_dict(self) -> dict[str, Value]:
        """The figures as a plain dict.

        Example:
            >>> type(NamedFigures(win_rate=50.0).to_dict())
            <class 'dict'>
        """
        return dict(self)

    def _repr_html_(self) -> str:
        return markup.block(markup.table(["figure", "value"], list(self.items()), "lr"))

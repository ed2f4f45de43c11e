"""The tables of a slice have the columns of the tuples that kernels take in their place."""

from wheelvec.kernels.quotes import Quotes
from wheelvec.kernels.slices import QUOTE, ROW, Rows


def test_tables_have_the_columns_of_the_tuples() -> None:
    # `pick` copies columns of `Slice.puts` as of Quotes, `market_price` reads those of ROW
    assert (QUOTE.names or ())[: len(Quotes._fields)] == Quotes._fields
    assert ROW.names == Rows._fields
    assert QUOTE["dte"] == "int64"
    assert ROW["is_quote"] == "bool"

"""The underlying of each option root.

An option's symbol names a root, and some roots have belonged to several underlyings over time: META
was the root of a fund until January 2022, and of Meta (before: FB) from 2022-06-09. For these the
session decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import polars as pl

from wheelvec.model import osi

_OWNERS = pl.Schema({"root": pl.String(), "session": pl.Date(), "underlying": pl.String()})


@dataclass(frozen=True, eq=False)
class Roots:
    """The underlying of each option root.

    Attributes:
        names: root -> underlying; a root that is not among them is itself the underlying's name.
        shared: root, session, underlying of the roots that belonged to several underlyings, sorted:
            one row per root and session with quotes.
    """

    names: Mapping[str, str]
    shared: pl.DataFrame = field(default_factory=_OWNERS.to_frame)

    @classmethod
    def of(cls, quotes: pl.DataFrame, underlyings: pl.Series) -> Self:
        """The roots that quotes name (BRKB is BRK.B), and for other underlyings their letters.

        Args:
            quotes: checked quotes: underlying, symbol (21 characters), session.
            underlyings: the underlyings of the daily bars, some of which may have no quotes.
        """
        spelt = pl.DataFrame({"underlying": underlyings.unique().sort()})
        spelt = spelt.with_columns(root=pl.col("underlying").str.replace_all(r"[^A-Z0-9]", ""))
        named = (
            quotes.select("underlying", "symbol")
            .unique()
            .select("underlying", root=osi.root(pl.col("symbol")))
        )
        named = named.unique().sort("root", "underlying")
        pairs = pl.concat([spelt.select("underlying", "root"), named])
        several = named.filter(pl.col("root").is_duplicated())["root"].unique()
        return cls(
            {root: name for name, root in pairs.iter_rows() if root}, _owners(quotes, several)
        )

    def with_underlying(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add the column `underlying` to rows with the columns root and session.

        A shared root belongs to the underlying quoted on the nearest session; of two sessions
        equally near, to that of the earlier one.
        """
        rows = rows.with_columns(underlying=pl.col("root").replace(dict(self.names)).fill_null(""))
        shared = pl.col("root").is_in(self.shared["root"].unique().implode())
        if (
            self.shared.is_empty()
            or (
                asked := rows.select("root", "session").filter(shared).unique().drop_nulls()
            ).is_empty()
        ):
            return rows
        found = rows.join(
            self._nearest(asked), on=("root", "session"), how="left", maintain_order="left"
        )
        return found.with_columns(pl.coalesce("owner", "underlying").alias("underlying")).drop(
            "owner"
        )

    def _nearest(self, asked: pl.DataFrame) -> pl.DataFrame:
        """Add the column `owner`, the underlying, to (root, session) rows of shared roots."""
        owners, asked = (
            self.shared.with_columns(at=pl.col("session")),
            asked.sort("root", "session"),
        )
        before, after = (
            asked.join_asof(
                owners, on="session", by="root", strategy=strategy, check_sortedness=False
            )
            for strategy in ("backward", "forward")
        )
        distance = (pl.col("session") - pl.col("at")).dt.total_days().abs()
        since, until = before.select(distance).to_series(), after.select(distance).to_series()
        earlier = (since <= until).fill_null(True) & since.is_not_null()
        return asked.with_columns(
            owner=pl.when(earlier).then(before["underlying"]).otherwise(after["underlying"])
        )


def _owners(quotes: pl.DataFrame, several: pl.Series) -> pl.DataFrame:
    """(root, session, underlying) of some roots, one row per root and session.

    Where a session has two underlyings of one root, the one named like the root is taken.
    """
    if several.is_empty():
        return _OWNERS.to_frame()
    root = osi.root(pl.col("symbol"))
    owned = (
        quotes.select("session", "underlying", root=root)
        .filter(pl.col("root").is_in(several.implode()))
        .unique()
    )
    owned = owned.sort("root", "session", pl.col("underlying") != pl.col("root"), "underlying")
    return owned.unique(["root", "session"], keep="first", maintain_order=True).select(*_OWNERS)

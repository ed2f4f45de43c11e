"""The account that a portfolio of wheels is held in: cash, sizes, limits, order, interest.

It has a section [account] in the file of a configuration, but it is none of `Config`'s: what a
wheel is worth does not depend on it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from wheelvec.model.errors import ConfigError
from wheelvec.model.fields import (
    Curve,
    check_section,
    choice,
    config_section,
    curve,
    integer,
    none_is,
    number,
)
from wheelvec.model.toml import read_toml

ORDERS = ("record", "premium", "random")
MOST_SEED = 2**64 - 1


def two_sizes(contracts: Any, fraction: Any) -> str:
    """The error message for two sizes of a wheel at once."""
    return (
        f"account.contracts = {contracts} and account.fraction = {fraction} are both given: "
        "expected one of them"
    )


@config_section("account")
class Account:
    """The limits of an account, and the order in which it takes the wheels of a session.

    The order matters where cash or a limit admits only some of a session's wheels: `record` favours
    the first symbol and the nearest expiration, `premium` the longest expiration; `random` over
    several seeds shows how much of a figure is the luck of the choice.

    Raises:
        ConfigError: as for the sections of a configuration; or if both `contracts` and `fraction`
            are given.

    Example:
        >>> from wheelvec import Account
        >>> Account(cash=50_000).contracts, Account(fraction=0.1).contracts
        (1, None)
    """

    section: ClassVar[str]
    ranges: ClassVar[tuple[tuple[str, str], ...]] = ()
    targets: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    cash: float = number(
        default=100_000.0, above=0.0, unit="dollars", doc="What the account begins with."
    )
    contracts: int | None = integer(
        default=None,
        low=1,
        optional=True,
        unit="contracts",
        doc="How often each wheel is taken; None is 1, or as `fraction` says.",
    )
    fraction: float | None = number(
        default=None,
        above=0.0,
        high=1.0,
        optional=True,
        unit="fraction of the equity",
        doc="Instead of `contracts`: a wheel is taken as often as its initial capital is contained "
        "in this share of the last session's equity.",
    )
    max_wheels: int | None = integer(
        default=None,
        low=1,
        optional=True,
        unit="wheels",
        doc="Greatest number of open wheels; None is no limit.",
    )
    max_wheels_per_underlying: int | None = integer(
        default=None,
        low=1,
        optional=True,
        unit="wheels",
        doc="Greatest number of open wheels of one underlying, by its name when the put was sold; "
        "None is no limit.",
    )
    max_share_per_underlying: float | None = number(
        default=None,
        above=0.0,
        optional=True,
        unit="fraction of the equity",
        doc="Greatest initial capital of the open wheels of one underlying, as a share of the last "
        "session's equity; None is no limit.",
    )
    rate: Curve = curve(
        default=0.0,
        low=-1.0,
        high=1.0,
        unit="fraction per year, continuously compounded",
        doc="The interest on all cash, collateral too: 0.04 is 4%. The days between two sessions "
        "earn the rate of the earlier one.",
    )
    order: str = choice(
        default="record",
        names=ORDERS,
        doc="The order in which the wheels of a session are tried: as the records stand, by the "
        "premium on the initial capital (greatest first), or at random.",
    )
    seed: int = integer(default=0, low=0, high=MOST_SEED, unit="seed", doc="Of the order 'random'.")

    def __new__(cls, **values: Any) -> Self:
        """Refuse two sizes of a wheel at once."""
        if values.get("contracts") is not None and values.get("fraction") is not None:
            raise ConfigError(two_sizes(values["contracts"], values["fraction"]))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if self.contracts is None and self.fraction is None:
            object.__setattr__(self, "contracts", 1)
        check_section(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some fields; a new size of a wheel replaces the other one.

        Args:
            changes: values by field.

        Example:
            >>> from wheelvec import Account
            >>> Account(contracts=2).replace(fraction=0.1).contracts is None
            True
        """
        kept = dataclasses.asdict(self)
        for given, other in (("fraction", "contracts"), ("contracts", "fraction")):
            if changes.get(given) is not None:
                kept.pop(other)
        return type(self)(**kept | changes)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, which the class accepts.

        Example:
            >>> from wheelvec import Account
            >>> account = Account(fraction=0.1)
            >>> Account(**account.to_dict()) == account
            True
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """The account of the section [account] of a TOML file; `Account()` without that section.

        Args:
            path: the file.

        Raises:
            ConfigError: if the file cannot be read or is not TOML, and as for the class.

        Example:
            >>> import pathlib
            >>> import tempfile
            >>> from wheelvec import Account
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "wheel.toml"
            >>> length = path.write_text("account = {cash = 50_000, max_wheels = 'none'}")
            >>> Account.from_toml(path).cash
            50000.0
        """
        return cls.from_section(read_toml(path).get("account", {}), str(path))

    @classmethod
    def from_section(cls, fields: Any, source: str) -> Self:
        """The account of a table of a TOML file, in which "none" means None.

        Args:
            fields: values by field.
            source: the name of the file in messages.

        Raises:
            ConfigError: as for the class; the message begins with `source`.

        Example:
            >>> from wheelvec import Account
            >>> Account.from_section({"contracts": 2}, "wheel.toml").contracts
            2
        """
        if not isinstance(fields, Mapping):
            raise ConfigError(f"{source}: [account] is no table of fields")
        optional = {f.name for f in dataclasses.fields(cls) if f.metadata["optional"]}
        given: dict[str, Any] = {
            name: None if value == "none" and name in optional else value
            for name, value in fields.items()
        }
        with none_is('"none"'):
            try:
                return cls(**given)
            except ConfigError as error:
                raise ConfigError(f"{source}: {error}") from None

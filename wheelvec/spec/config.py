"""The rules and knobs of a backtest: frozen, keyword-only, validated when made, with a hashed id.

The parts bear the names of the sections of a TOML file: [schedule], [put], [call], [liquidity], [fills], [costs],
[pricing], and `rules` at the top. A field set to None is written "none" in TOML, which has no null.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import re
import struct
import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

from wheelvec.spec.errors import ConfigError, unknown_name
from wheelvec.spec.knobs import check_ranges, choice, curve, day, flag, integer, names, number, part, text, weekday_set
from wheelvec.spec.notebook import sections_of_notebook

RULE_SETS = ("ledger", "v5")
FILL_MODES = ("optimistic", "realistic", "pessimistic", "natural")
EXIT_MODELS = ("trigger", "close_range")
PUT_SELECT = ("all", "closest_delta", "highest_premium", "highest_strike")
CALL_SELECT = PUT_SELECT[1:]

Curve = float | tuple[tuple[dt.date, float], ...]


@part("schedule")
class Schedule:
    """When and on what wheels may be opened (rules.md, section 1).

    Dates are inclusive; None takes the first or last session of the market. `symbols` in the order in which they
    are tried each session (None: all that the market holds, sorted). Naming symbols is hindsight: those you thought of
    are those that survived. `entry_time` is the minute of the quotes, "15:45" in the calendar's zone or "close-15min",
    that long before each session's own close. A session with number i (0 at start_date) is an entry session if
    i >= offset, (i - offset) is a multiple of `every`, and its ISO weekday is in `weekdays`.
    """

    section: ClassVar[str]
    ranges: ClassVar[tuple[tuple[str, str], ...]] = (("start_date", "end_date"),)
    start_date: dt.date | str | None = day(default=None)
    end_date: dt.date | str | None = day(default=None)
    symbols: tuple[str, ...] | list[str] | None = names(default=None)
    trading_calendar: str = text(default="NYSE", pattern=r"\S+", allowed="the name of an exchange calendar such as 'NYSE'")
    entry_time: str = text(
        default="15:45",
        pattern=r"([01]\d|2[0-3]):[0-5]\d|close-[1-9]\d*min",
        allowed="a clock time such as '15:45', or 'close-15min'",
    )
    every: int = integer(default=1, low=1)
    offset: int = integer(default=0, low=0)
    weekdays: tuple[int, ...] | list[int] | None = weekday_set(default=None)
    allow_multiple_wheels_per_symbol: bool = flag(default=True)
    max_wheels_per_symbol_per_day: int | None = integer(default=None, low=1, optional=True)

    def __post_init__(self) -> None:
        check_ranges(self)


@part("put")
class PutRules:
    """Which put is sold and when it is bought back (rules.md, sections 3 to 6).

    `dte_*` calendar days, `delta_*` absolute delta. Beware of two names: `exit_pct` 0.25 buys back at 25% of the
    premium, so it keeps 75% of it; a `stop_loss_multiplier` of 2.0 buys back at twice the premium, so it loses one
    premium. None switches stop or `max_hold_dte` off. `max_hold_dte` with re-entry is no roll: the two orders fill apart.
    """

    section: ClassVar[str]
    ranges: ClassVar[tuple[tuple[str, str], ...]] = (("dte_min", "dte_max"), ("delta_min", "delta_max"))
    option_type: str = choice(default="P", names=("P",))
    dte_min: int = integer(default=30, low=0)
    dte_max: int = integer(default=45, low=0)
    delta_min: float = number(default=0.25, low=0.0, high=1.0)
    delta_max: float = number(default=0.35, low=0.0, high=1.0)
    exit_pct: float = number(default=0.50, low=0.0, high=1.0)
    stop_loss_multiplier: float | None = number(default=2.0, above=0.0, optional=True)
    max_hold_dte: int | None = integer(default=None, low=0, optional=True)
    select: str = choice(default="all", names=PUT_SELECT)
    dte_target: int | None = integer(default=None, low=0, optional=True)
    delta_target: float | None = number(default=None, low=0.0, high=1.0, optional=True)

    def __post_init__(self) -> None:
        check_ranges(self)


@part("call")
class CallRules:
    """Which call is sold against assigned shares (rules.md, section 7).

    `tie_break_method` (also spelt `select`) is the choice among qualifying calls. `exit_pct` None takes the put's;
    `stop_loss_multiplier` and `max_hold_dte` None mean none. `max_cycles` None sells calls until the shares are called
    away. A call is sought on up to `call_wait_sessions` further sessions while none qualifies.
    """

    section: ClassVar[str]
    ranges: ClassVar[tuple[tuple[str, str], ...]] = (("dte_min", "dte_max"), ("delta_min", "delta_max"))
    dte_min: int = integer(default=14, low=0)
    dte_max: int = integer(default=30, low=0)
    delta_min: float = number(default=0.25, low=0.0, high=1.0)
    delta_max: float = number(default=0.35, low=0.0, high=1.0)
    strike_min_pct_above_basis: float = number(default=0.0, above=-1.0)
    sell_call_only_if_price_above_basis: bool = flag(default=True)
    tie_break_method: str = choice(default="highest_premium", names=CALL_SELECT, alias="select")
    exit_pct: float | None = number(default=None, low=0.0, high=1.0, optional=True)
    stop_loss_multiplier: float | None = number(default=None, above=0.0, optional=True)
    max_hold_dte: int | None = integer(default=None, low=0, optional=True)
    max_cycles: int | None = integer(default=1, low=1, optional=True)
    call_wait_sessions: int = integer(default=0, low=0)

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def select(self) -> str:
        """The same field as `tie_break_method`."""
        return self.tie_break_method


@part("liquidity")
class Liquidity:
    """Which spreads are traded, and at what penalty (rules.md, section 3).

    Spreads are fractions of the mid. `ivp` is a cross-sectional rank of one chain's implied volatilities, not a
    percentile of history, and by default it is taken over the candidates alone (`ivp_over`).
    """

    section: ClassVar[str]
    min_bid_hard: float = number(default=0.10, low=0.0)
    hard_max_spread_pct: float = number(default=0.20, low=0.0)
    base_max_spread_pct: float = number(default=0.08, low=0.0)
    ivp_high_threshold: float = number(default=0.70, low=0.0)
    ivp_high_max_spread_pct: float = number(default=0.12, low=0.0)
    ivp_extreme_threshold: float = number(default=0.90, low=0.0)
    ivp_extreme_max_spread_pct: float = number(default=0.15, low=0.0)
    short_dte_threshold: int = integer(default=7, low=0)
    short_dte_extra_spread_pct: float = number(default=0.02, low=0.0)
    ivp_min_candidates: int = integer(default=1, low=0)
    ivp_over: str = choice(default="candidates", names=("candidates", "chain"))


@part("fills")
class Fills:
    """At what prices, and with what luck, orders fill (rules.md, sections 4 and 5).

    `exit_model` None is "trigger" under the ledger rules and "close_range" under v5. `execution_seed` is the only source
    of chance: the same seed gives the same draws in any order, process and machine.
    """

    section: ClassVar[str]
    ranges: ClassVar[tuple[tuple[str, str], ...]] = (("pfill_min", "pfill_max"),)
    fill_mode: str = choice(default="realistic", names=FILL_MODES)
    exit_model: str | None = choice(default=None, names=EXIT_MODELS, optional=True)
    gap_path: str = choice(default="skip", names=("skip", "quote"))
    use_probabilistic_exit_fills: bool = flag(default=True)
    execution_seed: int = integer(default=42, low=0, high=2**64 - 1)
    pfill_tight: float = number(default=0.90, low=0.0)
    pfill_normal: float = number(default=0.70, low=0.0)
    pfill_wide: float = number(default=0.40, low=0.0)
    pfill_scale: float = number(default=0.6, low=0.0)
    pfill_ivp_high_mult: float = number(default=0.85, low=0.0)
    pfill_ivp_extreme_mult: float = number(default=0.70, low=0.0)
    pfill_min: float = number(default=0.05, low=0.0, high=1.0)
    pfill_max: float = number(default=0.98, low=0.0, high=1.0)
    tight_spread_pct: float = number(default=0.05, low=0.0)
    normal_spread_pct: float = number(default=0.10, low=0.0)

    def __post_init__(self) -> None:
        check_ranges(self)


@part("costs")
class Costs:
    """Fees in dollars per contract and transaction."""

    section: ClassVar[str]
    commission_per_contract: float = number(default=0.65, low=0.0)
    sec_fee_per_contract: float = number(default=0.01, low=0.0)


@part("pricing")
class Pricing:
    """What the implied volatility assumes: rates per year, continuously compounded; a number, or a frame of session and
    value of which the last on or before a session counts."""

    section: ClassVar[str]
    rate: Curve = curve(default=0.04)
    dividend_yield: Curve = curve(default=0.0)


PARTS = {p.section: p for p in (Schedule, PutRules, CallRules, Liquidity, Fills, Costs, Pricing)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a backtest, apart from the data.

    Raises:
        ConfigError: for an unknown field, a value out of range, or an empty range, naming field, value and what is allowed.
    """

    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    put: PutRules = dataclasses.field(default_factory=PutRules)
    call: CallRules = dataclasses.field(default_factory=CallRules)
    liquidity: Liquidity = dataclasses.field(default_factory=Liquidity)
    fills: Fills = dataclasses.field(default_factory=Fills)
    costs: Costs = dataclasses.field(default_factory=Costs)
    pricing: Pricing = dataclasses.field(default_factory=Pricing)
    rules: str = "ledger"

    def __new__(cls, **values: Any) -> Self:
        for name in values:
            if name not in (*PARTS, "rules"):
                raise ConfigError(unknown_name("section", name, [*PARTS, "rules"]))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for section, kind in PARTS.items():
            value = getattr(self, section)
            if not isinstance(value, kind):
                raise ConfigError(f"{section} = {value!r}: expected a wheelvec.{kind.__name__}")
        if self.rules not in RULE_SETS:
            raise ConfigError(unknown_name("rules", self.rules, RULE_SETS))

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that two configurations share if and only if all their fields are equal."""
        fields = [(f"{part.section}.{f.name}", getattr(part, f.name)) for part in self.parts for f in dataclasses.fields(part)]
        return f"{sum(digest_of(name, value) for name, value in [*fields, ('rules', self.rules)]) % 2**64:016x}"

    @property
    def parts(self) -> list[Any]:
        """The sections, in order."""
        return [getattr(self, section) for section in PARTS]

    @property
    def exit_model(self) -> str:
        """The exit model in force: the one set, or the default of the rule set."""
        return self.fills.exit_model or ("close_range" if self.rules == "v5" else "trigger")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dictionaries, as `from_dict` takes them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, sections: Mapping[str, Any], source: str = "configuration") -> Self:
        """Build from nested dictionaries; what is left out keeps its default.

        Raises:
            ConfigError: as the class, naming `source` too.
        """
        values: dict[str, Any] = {}
        try:
            for section, fields in sections.items():
                values[section] = cls._read_section(section, fields)
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None

    @staticmethod
    def _read_section(section: str, fields: Any) -> Any:
        if section == "rules":
            return fields
        if section not in PARTS:
            raise ConfigError(unknown_name("section", section, [*PARTS, "rules"]))
        if not isinstance(fields, Mapping):
            raise ConfigError(f"[{section}] = {fields!r}: expected a table of fields")
        return PARTS[section](**fields)

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a TOML file.

        Raises:
            ConfigError: if the file cannot be read, is no TOML (with the line), or holds what the class refuses.
        """
        return cls.from_dict(_with_nulls(read_toml(path)), source=str(path))

    def to_toml(self, path: str | Path | None = None) -> str:
        """The configuration as TOML text, every field spelt out; written to `path` too if one is given."""
        import tomli_w  # 10 ms that only this call pays

        document = _without_nulls({"rules": self.rules} | {name: dataclasses.asdict(getattr(self, name)) for name in PARTS})
        written = tomli_w.dumps(document)
        if path is not None:
            Path(path).write_text(written, encoding="utf-8")
        return written

    @classmethod
    def from_notebook(
        cls,
        config: Mapping[str, Any],
        cc_config: Mapping[str, Any] | None = None,
        scheduler_config: Mapping[str, Any] | None = None,
        *,
        rules: str = "ledger",
    ) -> Self:
        """Load the dictionaries of the research notebook that this library replaces, as they are (docs/migrating.md).

        `use_realistic_fills: True` becomes fill_mode "natural"; fill_mode "mid", which the notebook ran as realistic
        without saying so, becomes "realistic" with a warning; keys that mean nothing here are named in a warning. Pass
        rules="v5" for the notebook's arithmetic.
        """
        fields = {section: tuple(f.name for f in dataclasses.fields(kind)) for section, kind in PARTS.items()}
        sections = sections_of_notebook(fields, dict(config), dict(cc_config or {}), dict(scheduler_config or {}))
        return cls.from_dict({**sections, "rules": rules}, source="notebook configuration")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, by dotted name: `config.replace(**{"put.exit_pct": 0.3, "rules": "v5"})`.

        Raises:
            ConfigError: for an unknown name, or a value that the field refuses.
        """
        parts: dict[str, dict[str, Any]] = {}
        whole: dict[str, Any] = {}
        for name, value in changes.items():
            section, dot, field = name.partition(".")
            if section not in PARTS and not (section == "rules" and not dot):
                raise ConfigError(unknown_name("field", name, [*field_names(), "rules"]))
            if dot:
                parts.setdefault(section, {})[field] = value
            else:
                whole[section] = value
        for section, fields in parts.items():
            whole[section] = _changed(whole.get(section, getattr(self, section)), fields)
        return dataclasses.replace(self, **whole)


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as nested dictionaries.

    Raises:
        ConfigError: if the file cannot be read, or is no TOML (with the line).
    """
    try:
        written = Path(path).read_text(encoding="utf-8")
        if _ENDLESS_KEY.search(written):
            raise ConfigError(f"{path}: no valid TOML: a key of more than 32 parts")
        return tomllib.loads(written)
    except RecursionError:
        raise ConfigError(f"{path}: no valid TOML: nested too deeply") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no valid TOML: {error}") from None


# tomllib takes quadratic time over a dotted key: minutes for 100 kB of a.a.a
_ENDLESS_KEY = re.compile(r"""(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')\s*\.\s*){32}""")


def digest_of(name: str, value: Any) -> int:
    """Sixty-four bits that stand for one field's value.

    A configuration's id is their sum over its fields, so that a sweep of a million configurations adds up theirs from the
    few digests of the values that it tries; hashing each configuration's whole text took longer than running it.
    """
    if isinstance(value, float):
        return int(scattered(struct.unpack("<Q", struct.pack("<d", value + 0.0))[0] ^ field_digest(name)))
    return _digest_of(name, value)


@lru_cache(maxsize=4096, typed=True)  # 1 and True are not the same
def _digest_of(name: str, value: Any) -> int:
    return _digest([name, value])


@cache
def field_digest(name: str) -> int:
    """Sixty-four bits that stand for a field's name."""
    return _digest([name])


def scattered(bits: Any) -> Any:
    """Sixty-four bits from as many, one to one and without a pattern, of an integer or of a uint64 array: SplitMix64's
    finalizer (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _WORD
    return bits ^ (bits >> 31)


_WORD = 2**64 - 1


def _digest(value: list[Any]) -> int:
    text = json.dumps(value, default=str)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def field_names() -> list[str]:
    """The dotted name of every field of every part, in order."""
    return [f"{section}.{f.name}" for section, kind in PARTS.items() for f in dataclasses.fields(kind)]


def _changed(value: Any, fields: dict[str, Any]) -> Any:
    given = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if "select" in fields and "tie_break_method" in given:
        given.pop("tie_break_method")
    return type(value)(**{**given, **fields})


def _with_nulls(document: dict[str, Any]) -> dict[str, Any]:
    """Read "none" as None wherever a field may be None."""
    for section, fields in document.items():
        if section in PARTS and isinstance(fields, dict):
            optional = {f.name for f in dataclasses.fields(PARTS[section]) if f.metadata["optional"]}
            for name, value in fields.items():
                if name in optional and value == "none":
                    fields[name] = None
    return document


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_without_nulls(item) for item in value]
    return "none" if value is None else value

"""The configuration of a backtest: immutable, validated on construction, with a hash as its id.

Its sections have the names of the sections of a TOML file: [schedule], [put], [call], [liquidity],
[fills], [costs] and [pricing]; the field `rules` has no section. TOML has no null: None is written
"none".
"""

import dataclasses
import datetime as dt
import hashlib
import inspect
import json
import struct
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

from wheelvec.model import atomic, markup
from wheelvec.model.account import Account
from wheelvec.model.addresses import refuse_address
from wheelvec.model.errors import ConfigError, cut, unknown_name
from wheelvec.model.fields import Curve, Field, documented, fields_of, misplaced, none_is
from wheelvec.model.notebook import sections_of_notebook
from wheelvec.model.sections import (
    SECTIONS,
    CallRules,
    Costs,
    Fills,
    Liquidity,
    Pricing,
    PutRules,
    Schedule,
)
from wheelvec.model.toml import read_toml

__all__ = [
    "RULE_SETS",
    "SECTIONS",
    "TOML_NONE",
    "CallRules",
    "Config",
    "Costs",
    "Curve",
    "Field",
    "Fills",
    "Liquidity",
    "Pricing",
    "PutRules",
    "Schedule",
    "digest_of",
    "field_digest",
    "field_names",
    "fields",
    "read_toml",
    "splitmix64",
    "unknown_field",
]

RULE_SETS = ("ledger", "v5")
TOML_NONE = '"none"'

RULES = Field(
    section="",
    name="rules",
    type="str",
    default="ledger",
    unit="",
    allowed=", ".join(map(repr, RULE_SETS)),
    doc="The rule set: 'ledger', or 'v5', the arithmetic of the research notebook (rules.md, "
    "section 11).",
)


def fields() -> list[Field]:
    """All fields of the configuration: `rules`, then section by section.

    Example:
        >>> from wheelvec.model.config import fields
        >>> [f.dotted for f in fields()][:3]
        ['rules', 'schedule.start_date', 'schedule.end_date']
    """
    return [RULES, *(field for kind in SECTIONS.values() for field in fields_of(kind))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The configuration of a backtest: seven sections and the rule set.

    With a market it determines the result completely.

    Raises:
        ConfigError: for an unknown field, a value out of range, or an empty range; the message
            names the field, the value and the allowed values.

    Example:
        >>> from wheelvec import Config, PutRules
        >>> Config(put=PutRules(exit_pct=0.3), rules="v5").put.exit_pct
        0.3
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
        """Refuse an unknown section; the message names the section that has such a field."""
        for name in values:
            if name not in (*SECTIONS, "rules"):
                raise ConfigError(misplaced("section", name, [*SECTIONS, "rules"]))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for section, kind in SECTIONS.items():
            value = getattr(self, section)
            if not isinstance(value, kind):
                raise ConfigError(f"{section} = {cut(value)}: expected a wheelvec.{kind.__name__}")
        if not isinstance(self.rules, str) or self.rules not in RULE_SETS:
            raise ConfigError(unknown_name("rules", self.rules, RULE_SETS))

    @property
    def id(self) -> str:
        """The hash of all fields, sixteen hexadecimal digits: equal for equal configurations.

        Example:
            >>> import wheelvec as wv
            >>> config = wv.Config(put=wv.PutRules(exit_pct=0.3))
            >>> config.id == wv.Config().replace(**{"put.exit_pct": 0.3}).id
            True
            >>> config.id == wv.Config().id
            False
        """
        values = [
            (f"{section.section}.{f.name}", getattr(section, f.name))
            for section in self.parts
            for f in dataclasses.fields(section)
        ]
        digests = [digest_of(name, value) for name, value in [*values, ("rules", self.rules)]]
        return f"{sum(digests) % 2**64:016x}"

    @property
    def parts(self) -> list[Any]:
        """The values of the seven sections, in order.

        Example:
            >>> import wheelvec as wv
            >>> config = wv.Config(put=wv.PutRules(exit_pct=0.3))
            >>> config.parts[1].exit_pct
            0.3
        """
        return [getattr(self, section) for section in SECTIONS]

    @property
    def exit_model(self) -> str:
        """The exit model: `fills.exit_model`, or the default of the rule set if that is None.

        Example:
            >>> import wheelvec as wv
            >>> wv.Config().exit_model, wv.Config(rules="v5").exit_model
            ('trigger', 'close_range')
        """
        return self.fills.exit_model or ("close_range" if self.rules == "v5" else "trigger")

    @property
    def ticks(self) -> float:
        """The number of ticks in a dollar, or 0 if prices are not rounded.

        The tick is `fills.tick`, or the default of the rule set if that is None.

        Example:
            >>> import wheelvec as wv
            >>> wv.Config().ticks, wv.Config(rules="v5").ticks
            (100.0, 0.0)
        """
        tick = (0.0 if self.rules == "v5" else 0.01) if self.fills.tick is None else self.fills.tick
        return float(round(1.0 / tick)) if tick else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The configuration as nested dictionaries, which `from_dict` accepts.

        Example:
            >>> import wheelvec as wv
            >>> config = wv.Config(put=wv.PutRules(exit_pct=0.3))
            >>> config.to_dict()["put"]["exit_pct"]
            0.3
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, sections: Mapping[str, Any], source: str = "configuration") -> Self:
        """The configuration of nested dictionaries; missing fields have their defaults.

        Args:
            sections: the sections by name, each a mapping of fields to values; and "rules".
            source: the name of the dictionaries in error messages.

        Raises:
            ConfigError: as for the class; the message begins with `source`.

        Example:
            >>> import wheelvec as wv
            >>> wv.Config.from_dict({"put": {"exit_pct": 0.3}, "rules": "v5"}).put.exit_pct
            0.3
        """
        if not isinstance(sections, Mapping):
            raise ConfigError(f"{source}: {cut(sections)}: expected a mapping of sections")
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
        if section not in SECTIONS:
            raise ConfigError(misplaced("section", section, [*SECTIONS, "rules"]))
        if not isinstance(fields, Mapping):
            raise ConfigError(f"[{section}] = {cut(fields)}: expected a table of fields")
        return SECTIONS[section](**fields)

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """The configuration of a TOML file, in which "none" means None.

        A section [account] is checked and left out: it is `Account.from_toml`'s.

        Args:
            path: the file; `wheelvec init` prints a template.

        Raises:
            ConfigError: if the file cannot be read or is not TOML (with the line), and as for the
                class.

        Example:
            >>> import wheelvec as wv
            >>> import pathlib
            >>> import tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "wheel.toml"
            >>> length = path.write_text("put = {exit_pct = 0.3, stop_loss_multiplier = 'none'}")
            >>> put = wv.Config.from_toml(path).put
            >>> put.exit_pct, put.stop_loss_multiplier
            (0.3, None)
        """
        with none_is(TOML_NONE):
            document = read_toml(path)
            Account.from_section(document.pop(Account.section, {}), str(path))
            return cls.from_dict(_with_nulls(document), source=str(path))

    def to_toml(self, path: str | Path | None = None) -> str:
        """The configuration as TOML text with every field, also written to `path` if given.

        Args:
            path: a file to write, whole or not at all, in place of one that is there; None writes
                no file.

        Raises:
            LakeError: if the file cannot be written.

        Example:
            >>> import wheelvec as wv
            >>> config = wv.Config(put=wv.PutRules(exit_pct=0.3))
            >>> print(config.to_toml().splitlines()[0])
            rules = "ledger"
            >>> "exit_pct = 0.3" in config.to_toml()
            True
        """
        if path is not None:
            refuse_address(path, "a configuration", "file")
        import tomli_w  # takes 10 ms, which no other call needs

        document = _without_nulls(
            {"rules": self.rules}
            | {name: dataclasses.asdict(getattr(self, name)) for name in SECTIONS}
        )
        written = tomli_w.dumps(document)
        if path is not None:
            with atomic.replacing(Path(path).resolve()) as temporary:  # a link stays one
                temporary.write_text(written, encoding="utf-8")
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
        """The configuration of the research notebook's dictionaries (docs/migrating.md).

        `use_realistic_fills: True` becomes fill_mode "natural". The fill_mode "mid", which the
        notebook silently ran as realistic, becomes "realistic" with a warning. Keys without a
        counterpart are named in a warning. Pass rules="v5" for the notebook's arithmetic.

        Args:
            config: the notebook's CONFIG.
            cc_config: its CC_CONFIG, with the fields of the covered calls.
            scheduler_config: its SCHEDULER_CONFIG; without one, the symbol and the entry date of
                `config`, as in the notebook.
            rules: the rule set.

        Raises:
            ConfigError: for a value that its field does not allow.

        Example:
            >>> import wheelvec as wv
            >>> put = {"symbol": "TSLA", "entry_date": "2023-06-06"}
            >>> config = wv.Config.from_notebook(put, {"cc_dte_max": 30}, rules="v5")
            >>> config.schedule.symbols, config.call.dte_max
            (('TSLA',), 30)
        """
        for given in (config, cc_config or {}, scheduler_config or {}):
            if not isinstance(given, Mapping):
                raise ConfigError(f"notebook configuration: {cut(given)}: expected a dictionary")
        fields = {
            section: tuple(f.name for f in dataclasses.fields(kind))
            for section, kind in SECTIONS.items()
        }
        sections = sections_of_notebook(
            fields, dict(config), dict(cc_config or {}), dict(scheduler_config or {})
        )
        return cls.from_dict({**sections, "rules": rules}, source="notebook configuration")

    def diff(self, other: "Config | None" = None) -> dict[str, tuple[Any, Any]]:
        """The fields in which two configurations differ: here and in the other one.

        Args:
            other: the other configuration; None: the default one.

        Raises:
            ConfigError: if `other` is no configuration.

        Example:
            >>> import wheelvec as wv
            >>> wv.Config(put=wv.PutRules(exit_pct=0.3), rules="v5").diff()
            {'rules': ('v5', 'ledger'), 'put.exit_pct': (0.3, 0.5)}
        """
        if other is not None and not isinstance(other, Config):
            raise ConfigError(f"other is {cut(other)}: expected a wheelvec.Config")
        mine, others = self._values(), (other or type(self)())._values()
        return {
            name: (value, others[name]) for name, value in mine.items() if value != others[name]
        }

    def _values(self) -> dict[str, Any]:
        """The values of all fields, by dotted name."""
        return {"rules": self.rules} | {
            f"{part.section}.{f.name}": getattr(part, f.name)
            for part in self.parts
            for f in dataclasses.fields(part)
        }

    def _repr_html_(self) -> str:
        """The differences from the defaults first, and all fields below them."""
        differs = [(name, *map(_shown, pair)) for name, pair in self.diff().items()]
        every = [(name, _shown(value)) for name, value in self._values().items()]
        return markup.block(
            markup.heading(f"Config {self.id}, rules {self.rules}"),
            markup.table(["field", "value", "default"], differs, "lrr")
            if differs
            else markup.paragraph("Every field has its default."),
            markup.folded(f"All {len(every)} fields", markup.table(["", ""], every, "lr")),
        )

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some fields.

        Args:
            changes: values by dotted field name, such as "put.exit_pct"; `rules` and whole
                sections by their names.

        Raises:
            ConfigError: for an unknown name, or a value that its field does not allow.

        Example:
            >>> import wheelvec as wv
            >>> config = wv.Config(put=wv.PutRules(exit_pct=0.3))
            >>> changed = config.replace(**{"put.stop_loss_multiplier": None, "rules": "v5"})
            >>> changed.put.exit_pct, changed.put.stop_loss_multiplier, changed.rules
            (0.3, None, 'v5')
        """
        fields_by_section: dict[str, dict[str, Any]] = {}
        sections: dict[str, Any] = {}
        for name, value in changes.items():
            section, dot, field = name.partition(".")
            if section not in SECTIONS and not (section == "rules" and not dot):
                raise ConfigError(unknown_field(name))
            if dot:
                fields_by_section.setdefault(section, {})[field] = value
            else:
                sections[section] = value
        for section, fields in fields_by_section.items():
            sections[section] = _changed(sections.get(section, getattr(self, section)), fields)
        return dataclasses.replace(self, **sections)


def _shown(value: Any) -> str:
    """A value as code, cut where it is long: a curve may have thousands of values."""
    return cut(str(value) if isinstance(value, dt.date) else value, 60)


def digest_of(name: str, value: Any) -> int:
    """A 64-bit hash of a field's name and value.

    The id of a configuration is the sum of these hashes over all fields. A sweep of a million
    configurations therefore hashes only the distinct values of each field and adds; hashing the
    whole text of every configuration took longer than evaluating it.
    """
    if isinstance(value, float):
        bits = struct.unpack("<Q", struct.pack("<d", value + 0.0))[0]
        return int(splitmix64(bits ^ field_digest(name)))
    return _digest_of(name, value)


@lru_cache(maxsize=4096, typed=True)  # 1 and True are not the same
def _digest_of(name: str, value: Any) -> int:
    return _digest([name, value])


@cache
def field_digest(name: str) -> int:
    """A 64-bit hash of a field's name."""
    return _digest([name])


def splitmix64(bits: Any) -> Any:
    """SplitMix64's finalizer of an int or a uint64 array (Steele, Lea and Flood 2014).

    It maps 64-bit numbers one to one onto 64-bit numbers.
    """
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _WORD
    return bits ^ (bits >> 31)


_WORD = 2**64 - 1


def _digest(value: list[Any]) -> int:
    text = json.dumps(value, default=str)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def field_names() -> list[str]:
    """The dotted names of the fields of all sections, in order."""
    return [
        f"{section}.{f.name}"
        for section, kind in SECTIONS.items()
        for f in dataclasses.fields(kind)
    ]


def unknown_field(name: str) -> str:
    """The error message for an unknown dotted name: a suggestion, or the fields of its section."""
    if name.startswith(f"{Account.section}."):
        return (
            f"{cut(name)} is no field of a configuration, but of an account: set it in the section "
            f"[{Account.section}] of the file, by an option of simulate such as --cash, or in "
            "Python with wheelvec.Account"
        )
    names = [*field_names(), "rules"]
    section = f"{name.partition('.')[0]}."
    return misplaced(
        "field", name, [known for known in names if known.startswith(section)] or names
    )


def _changed(value: Any, fields: dict[str, Any]) -> Any:
    given = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if "select" in fields and "tie_break_method" in given:
        given.pop("tie_break_method")
    return type(value)(**{**given, **fields})


def _with_nulls(document: dict[str, Any]) -> dict[str, Any]:
    """The document with None for every "none" of a field that may be None."""
    for section, fields in document.items():
        if section in SECTIONS and isinstance(fields, dict):
            optional = {
                f.name for f in dataclasses.fields(SECTIONS[section]) if f.metadata["optional"]
            }
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


class _Code(str):
    """A default in a signature, shown as code such as `PutRules()` instead of as all its fields."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _section_field(name: str, kind: Any) -> Field:
    doc = (
        inspect.cleandoc(kind.__doc__)
        .partition(" (rules.md")[0]
        .partition("\n\n")[0]
        .replace("\n", " ")
        .removesuffix(".")
    )
    allowed = f"a wheelvec.{kind.__name__}; help(wheelvec.{kind.__name__}) lists its fields"
    return Field("", name, kind.__name__, _Code(f"{kind.__name__}()"), "", allowed, f"{doc}.")


def _signature() -> inspect.Signature:
    defaults = [(name, kind, _Code(f"{kind.__name__}()")) for name, kind in SECTIONS.items()] + [
        ("rules", str, RULES.default)
    ]
    return inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
            for name, kind, value in defaults
        ]
    )


Config.__signature__ = _signature()  # type: ignore[attr-defined]
Config.__doc__ = documented(
    Config.__doc__, [*(_section_field(*item) for item in SECTIONS.items()), RULES]
)

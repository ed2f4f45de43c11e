"""Conversion of the research notebook's dictionaries into sections of a configuration.

The dictionaries are CONFIG, CC_CONFIG and SCHEDULER_CONFIG (docs/migrating.md).
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

# Keys of the notebook that change no result: paths, logging, look-backs of indicators.
IGNORED_KEYS = frozenset({"cache_dir", "lookback_days", "scheduler_seed", "log_level", "timezone"})

# The notebook treated every unknown fill_mode as "realistic".
RUN_AS_REALISTIC = ("mid", "bid")

Sections = dict[str, dict[str, Any]]


def sections_of_notebook(
    fields: Mapping[str, Sequence[str]],
    config: dict[str, Any],
    cc_config: dict[str, Any],
    scheduler: dict[str, Any],
) -> Sections:
    """Values by section and field; `fields` names the fields of each section.

    Keys that have no counterpart are named in a warning.
    """
    sections: Sections = {name: {} for name in fields}
    unknown = _take_config(fields, config, sections)
    unknown += _take_calls(fields, cc_config, sections)
    unknown += _take_schedule(fields, scheduler, sections)
    _set_fill_mode(config, sections["fills"])
    _default_schedule(config, sections["schedule"])
    if unknown:
        warnings.warn(
            f"ignored, because wheelvec has no such fields: {', '.join(sorted(unknown))}",
            stacklevel=4,
        )
    return sections


def _take_config(
    fields: Mapping[str, Sequence[str]], config: dict[str, Any], sections: Sections
) -> list[str]:
    unknown = []
    for key, value in config.items():
        if key in ("fill_mode", "use_realistic_fills", "symbol", "entry_date"):
            continue  # converted by _set_fill_mode and _default_schedule
        if key in ("rate", "risk_free_rate"):
            sections["pricing"]["rate"] = value
            continue
        matching = [
            section
            for section in ("put", "liquidity", "fills", "costs", "schedule", "pricing")
            if key in fields[section]
        ]
        if matching:
            sections[matching[0]][key] = value
        elif key not in IGNORED_KEYS:
            unknown.append(f"CONFIG[{key!r}]")
    return unknown


def _take_calls(
    fields: Mapping[str, Sequence[str]], cc_config: dict[str, Any], sections: Sections
) -> list[str]:
    unknown = []
    for key, value in cc_config.items():
        name = key.removeprefix("cc_")
        if name in fields["call"] or name == "select":
            sections["call"][name] = value
        elif name != "option_type" and key not in IGNORED_KEYS:
            unknown.append(f"CC_CONFIG[{key!r}]")
    return unknown


def _take_schedule(
    fields: Mapping[str, Sequence[str]], scheduler: dict[str, Any], sections: Sections
) -> list[str]:
    known = {key: value for key, value in scheduler.items() if key in fields["schedule"]}
    sections["schedule"].update(known)
    return [
        f"SCHEDULER_CONFIG[{key!r}]"
        for key in scheduler
        if key not in known and key not in IGNORED_KEYS
    ]


def _set_fill_mode(config: dict[str, Any], fills: dict[str, Any]) -> None:
    mode = config.get("fill_mode")
    if config.get("use_realistic_fills"):
        fills["fill_mode"] = "natural"
    elif mode in RUN_AS_REALISTIC:
        warnings.warn(
            f"fill_mode {mode!r} was run as 'realistic' by the notebook; "
            "it is taken as 'realistic'",
            stacklevel=5,
        )
        fills["fill_mode"] = "realistic"
    elif mode is not None:
        fills["fill_mode"] = mode


def _default_schedule(config: dict[str, Any], schedule: dict[str, Any]) -> None:
    """Set symbol and entry date from CONFIG where SCHEDULER_CONFIG has none."""
    if "symbol" in config:
        schedule.setdefault("symbols", [config["symbol"]])
    if "entry_date" in config and "start_date" not in schedule and "end_date" not in schedule:
        schedule["start_date"] = schedule["end_date"] = config["entry_date"]

"""`wheelvec init`: a file of the configuration's defaults, complete, and true when its examples are
set.
"""

import re
import tomllib
from pathlib import Path

import wheelvec as wv
from wheelvec.report.template import config_template, template_fields, template_rows


def test_it_is_the_default_configuration(tmp_path: Path) -> None:
    (tmp_path / "wheel.toml").write_text(config_template(), encoding="utf-8")
    assert wv.Config.from_toml(tmp_path / "wheel.toml") == wv.Config()
    assert wv.Account.from_toml(tmp_path / "wheel.toml") == wv.Account()


def test_every_field_stands_in_it_once_under_what_it_decides() -> None:
    text, section = config_template(), ""
    found = []
    for comment, head, name in re.findall(
        r"((?:^# .*\n)+?)(?:\[(\w+)\]|(?:# )?(\w+) = .*)$", text, re.MULTILINE
    ):
        section = head or section
        if name:
            found.append(f"{section}.{name}" if section else name)
            assert "Allowed: " in comment, name
    assert found == [field.dotted for field in template_fields()]
    assert {name for name in found if name.startswith("account.")} >= {
        "account.cash", "account.max_wheels", "account.seed",
    }  # fmt: skip
    for field in template_fields():
        unit = f"Unit: {field.unit}."
        assert not field.unit or unit in re.sub(r"\s*\n# ", " ", text), field.dotted


def test_examples_behind_a_comment_sign_are_values_of_their_fields(tmp_path: Path) -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", config_template(), flags=re.MULTILINE)
    (tmp_path / "wheel.toml").write_text(text, encoding="utf-8")
    config = wv.Config.from_toml(tmp_path / "wheel.toml")
    assert config.schedule.symbols == ("ALFA", "BRVO")
    assert [
        name for name in tomllib.loads(text)["schedule"] if getattr(config.schedule, name) is None
    ] == ["max_wheels_per_symbol_per_day"]


def test_it_reads_on_a_terminal() -> None:
    assert max(map(len, config_template().splitlines())) <= 100
    assert config_template().isascii()
    assert not re.search(
        r"\bNone\b|\bTrue\b|\bFalse\b", config_template()
    )  # Python's words, which TOML has not


def test_other_programs_get_the_fields() -> None:
    rows = {row["field"]: row for row in template_rows()}
    assert list(rows) == [field.dotted for field in template_fields()]
    assert rows["put.exit_pct"]["default"] == 0.5
    assert rows["account.cash"]["unit"] == "dollars"

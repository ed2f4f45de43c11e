"""The names that users and notebooks rely on."""

import pytest

import wheelvec as wv

FUNCTIONS = """
    backtest sweep simulate bootstrap bands walk_forward deflated_sharpe pbo spa verdict bounds
    explain why_not page fetch import_files check implied_vol black_scholes delta gamma vega theta
    rho fill_draw demo_market
"""
NAMES = {
    wv.Market: "open write diagnostics",
    wv.Config: "from_toml to_toml diff from_notebook replace",
    wv.Result: """
        records wheels ledger summary diagnostics call_diagnostics paths underlying warnings best
        worst validate save load
    """,
    wv.Sweep: "pnl periods equity result best over_seeds save load",
    wv.Portfolio: "daily wheels skipped benchmarks metrics validate",
    wv: "plots signals",
}
ERRORS = "ConfigError InputError DataError LakeError FetchError RecordError"


@pytest.mark.parametrize("name", FUNCTIONS.split())
def test_a_promised_function_can_be_called(name: str) -> None:
    assert callable(getattr(wv, name))


@pytest.mark.parametrize("owner", NAMES, ids=lambda owner: owner.__name__)
def test_promised_names_exist(owner: object) -> None:
    assert set(NAMES[owner].split()) <= set(dir(owner))


@pytest.mark.parametrize("name", ERRORS.split())
def test_every_error_is_a_wheelvec_error(name: str) -> None:
    assert issubclass(getattr(wv, name), wv.WheelvecError)

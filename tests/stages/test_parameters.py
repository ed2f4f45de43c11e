"""Rows of a sweep share only what every field that decides it allows."""

from wheelvec.stages import parameters

# these decide how a call ends or how often one is sold, not which
NOT_OF_THE_SEARCH = {"exit_pct", "stop_loss_multiplier", "max_hold_dte", "max_cycles"}


def test_rows_share_a_search_for_a_call_only_if_all_its_fields_are_equal() -> None:
    others = {f"call.{name}" for name in NOT_OF_THE_SEARCH}
    assert set(parameters._SEARCH) == set(parameters._CALLS) - others

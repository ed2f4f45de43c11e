"""The library against the scalar oracle on random markets to which corporate events happen, with
early assignment and costs of orders: records, cash, summary, entry sessions and sweeps.
"""

import pytest

from tests.oracle import event_markets
from tests.random_markets import all_differences

COUNT, BLOCKS, LONG = 12, 4, 1000


def differences(seed: int) -> dict[str, list[str]]:
    """The differences in the market of a seed, by rule set."""
    tables = event_markets.random_event_market(seed)
    found = {
        rules: all_differences(tables, event_markets.random_event_config(seed, rules))
        for rules in ("ledger", "v5")
    }
    return {rules: wrong for rules, wrong in found.items() if wrong}


@pytest.mark.parametrize("block", range(BLOCKS))
def test_markets_with_events_agree_with_the_oracle(block: int) -> None:
    seeds = range(block * COUNT // BLOCKS, (block + 1) * COUNT // BLOCKS)
    wrong = {seed: found for seed in seeds if (found := differences(seed))}
    assert not wrong, "\n".join(f"seed {seed}: {found}"[:600] for seed, found in wrong.items())


@pytest.mark.slow
def test_many_markets_with_events_agree_with_the_oracle() -> None:
    wrong = {seed: found for seed in range(COUNT, LONG) if (found := differences(seed))}
    assert not wrong, "\n".join(f"seed {seed}: {found}"[:600] for seed, found in wrong.items())

"""The library against the scalar oracle on random markets under random configurations: both rule
sets, holes, waits, cycles, one-at-a-time runs, dirty rows, missing bars.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.random_markets import differences, random_case, sweep_differences

QUICK, LONG = 24, 1500


@pytest.mark.parametrize("block", range(4))
def test_fixed_markets_agree_with_the_oracle(block: int) -> None:
    seeds = range(block * QUICK // 4, (block + 1) * QUICK // 4)
    wrong = {seed: found for seed in seeds if (found := differences(*random_case(seed)))}
    assert not wrong, "\n".join(f"seed {seed}: {found[:5]}" for seed, found in wrong.items())


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(10_000, 2**32))
def test_random_markets_agree_with_the_oracle(rules: str, seed: int) -> None:
    found = differences(*random_case(seed, rules=rules))
    assert not found, found[:10]


def test_sweeps_agree_with_the_oracle() -> None:
    wrong = {
        seed: found for seed in range(200, 216) if (found := sweep_differences(*random_case(seed)))
    }
    assert not wrong, wrong


@pytest.mark.slow
def test_many_markets_agree_with_the_oracle() -> None:
    wrong = {
        seed: found for seed in range(QUICK, LONG) if (found := differences(*random_case(seed)))
    }
    assert not wrong, "\n".join(f"seed {seed}: {found[:5]}" for seed, found in wrong.items())

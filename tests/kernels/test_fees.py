import numpy as np
import pytest

from tests.kernels.build import common_fields, rows
from wheelvec import Costs
from wheelvec.kernels.fees import order_cost
from wheelvec.kernels.parameters import COMMON

COSTS = {
    "commission_base": 0.50, "commission_minimum": 2.00,
    "commission_per_contract": 0.65, "sec_fee_per_contract": 0.01,
}  # fmt: skip


def test_an_order_costs_its_commission_and_a_fee_on_each_contract() -> None:
    # 0.50 + 0.65 is under the minimum of 2.00; 0.50 + 4 * 0.65 = 3.10 is over it
    common = rows(COMMON, common_fields(**COSTS)).view(np.recarray)[0]  # called as plain Python
    assert order_cost(common, 1) == pytest.approx(2.01)
    assert order_cost(common, 4) == pytest.approx(3.14)


def test_a_configuration_and_many_orders_are_counted_alike() -> None:
    found = order_cost(Costs(**COSTS), np.array([1, 2, 3, 4]))
    assert found.tolist() == pytest.approx([2.01, 2.02, 2.48, 3.14])


def test_the_default_order_costs_what_it_did() -> None:
    assert order_cost(Costs(), 1) == 0.65 + 0.01

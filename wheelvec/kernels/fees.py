"""The cost of an order (rules.md, section 4)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from wheelvec.jit.compiled import njit_inlined

if TYPE_CHECKING:
    from wheelvec.kernels.parameters import CommonRules
    from wheelvec.model.sections import Costs


def order_cost(costs: "CommonRules | Costs", contracts: Any) -> Any:
    """The fee of one order, dollars.

    Args:
        costs: has the four numbers of an order, dollars.
        contracts: of the order: a number, or (n,) numbers of n orders.

    Example:
        >>> from wheelvec import Costs
        >>> costs = Costs(commission_base=0.5, commission_minimum=2.0, sec_fee_per_contract=0.25)
        >>> float(order_cost(costs, 1)), float(order_cost(costs, 10))
        (2.25, 9.5)
    """
    commission = costs.commission_base + contracts * costs.commission_per_contract
    return np.maximum(costs.commission_minimum, commission) + contracts * costs.sec_fee_per_contract


order_fee = njit_inlined(order_cost)  # as the kernels call it

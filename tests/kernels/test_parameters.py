"""Blocks of a plan."""

import numpy as np

from tests.kernels.build import call_fields, common_fields, draw_fields, plan_of, rows
from wheelvec.kernels.parameters import CALL, COMMON, DRAW, block_of


def test_a_block_is_its_part_of_every_list() -> None:
    # the first block has two stops, the second one; all else they have alike
    two = plan_of(stops=(2.0, 3.0), targets=(0.5,))
    ends = {name: np.array([0, 1, 2]) for name in two._fields if name.endswith("_starts")}
    plan = two._replace(
        **ends | {"stop_starts": np.array([0, 2, 3]), "config_starts": np.array([0, 2, 3])},
        common=rows(COMMON, common_fields(), common_fields(commission_per_contract=1.0)),
        stop=np.array([2.0, 3.0, np.nan]), target=np.array([0.5, 0.25]), hold=np.array([-1, 21]),
        draw=rows(DRAW, draw_fields(seed=1), draw_fields(seed=2)),
        call=rows(CALL, call_fields(), call_fields(dte_min=14)),
        call_search=np.array([0, 0]), call_draw=np.zeros(2, np.uint32),
        rest_target=np.zeros(2, np.uint32), rest_draw=np.zeros(2, np.uint32), rest_hold=np.zeros(2, np.uint32),
        pair_rest=np.zeros(2, np.uint32), pair_call=np.zeros(2, np.uint32),
        config_stop=np.array([0, 1, 0], np.uint32), config_pair=np.zeros(3, np.uint32),
        exits=np.array([0, 7]), product=np.array([True, False]), cost=np.array([800, 200]),
    )  # fmt: skip
    # as plain Python: a view that a lean function makes must not leave compiled code
    in_python = getattr(block_of, "py_func", block_of)
    first, second = in_python(plan, 0), in_python(plan, 1)
    assert first.stop.tolist() == [2.0, 3.0]
    assert first.target.tolist() == [0.5]
    assert first.product
    assert np.isnan(second.stop).tolist() == [True]
    assert second.target.tolist() == [0.25]
    assert second.hold.tolist() == [21]
    assert second.draw["seed"].tolist() == [2]
    assert second.call["dte_min"].tolist() == [14]
    assert second.config_stop.tolist() == [0]
    assert second.exits == 7
    assert not second.product

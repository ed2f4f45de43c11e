"""Moments of runs, worked by hand."""

import numpy as np

from wheelvec.kernels.moments import run_moments


def test_moments_of_runs() -> None:
    # runs of 1 and 3, of nothing, and of 4
    out = np.empty((3, 6))
    run_moments(np.array([1.0, 3.0, 4.0]), np.array([0, 2, 2, 3]), out)
    # count 2, sum 4, mean 2, squared deviations 1 + 1, least 1, greatest 3
    assert out[0].tolist() == [2.0, 4.0, 2.0, 2.0, 1.0, 3.0]
    assert out[1, :2].tolist() == [0.0, 0.0]
    assert np.isnan(out[1, [2, 4, 5]]).tolist() == [True, False, False]
    assert out[2].tolist() == [1.0, 4.0, 4.0, 0.0, 4.0, 4.0]

"""Arrays that are aligned to cache lines."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from wheelvec.jit.aligned import LINE, aligned


@pytest.mark.parametrize("shape", [0, 1, 7, (3, 5), (0, 4)])
@pytest.mark.parametrize("kind", [np.float64, np.uint64, np.int8])
def test_an_array_is_aligned_and_filled(shape: int | tuple[int, ...], kind: DTypeLike) -> None:
    for _ in range(5):
        array = aligned(shape, kind, 3)
        assert array.dtype == kind
        np.testing.assert_array_equal(array, np.full(shape, 3, kind))
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.size == 0 or array.ctypes.data % LINE == 0

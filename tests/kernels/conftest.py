"""Kernels as plain Python (NUMBA_DISABLE_JIT=1) wrap integers and divide by zero as compiled ones do."""

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def quiet_arithmetic() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield

"""Types of the arrays that compiled functions take; Numba infers its own, and ignores these."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
ShortIntegers: TypeAlias = NDArray[np.int32]
Words: TypeAlias = NDArray[np.uint64]
Positions: TypeAlias = NDArray[np.uint32]
Codes: TypeAlias = NDArray[np.int8]
Flags: TypeAlias = NDArray[np.bool_]
# An array of structured rows. Compiled code reads a column of it, and a field of a row, as an
# attribute, which NumPy's own types do not know: hence Any, and the dtype in a comment.
Records: TypeAlias = Any

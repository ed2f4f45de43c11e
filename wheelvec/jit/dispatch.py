"""Calling a compiled function many times with arguments of the same types.

Numba asks at every call for the types of all arguments, of each array in each tuple: for the 120
arrays of a sweep's kernel 14 to 36 us, as long as a short month takes. What they are compiled to
can be found once and called directly, in 2 us.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_FOUND: dict[Any, Callable[..., Any]] = {}


def kind_of(value: Any) -> Any:
    """What the compiled code depends on. It takes arguments of equal kinds alone: others it would
    misread.
    """
    if isinstance(value, tuple):
        return type(value), *map(kind_of, value)
    if isinstance(value, np.ndarray):
        flags = value.flags
        layout = flags.c_contiguous, flags.f_contiguous, flags.aligned, flags.writeable
        return type(value), value.dtype, value.ndim, layout
    return type(value)


def compiled_for(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The compiled code of a function of this room for arguments of these kinds; the function
    itself where nothing is compiled (NUMBA_DISABLE_JIT).
    """
    if not hasattr(function, "overloads"):
        return function
    kind = function, kind_of(arguments)
    if kind not in _FOUND:
        signature = tuple(numba.typeof(argument) for argument in arguments)
        function.compile(signature)  # type: ignore[attr-defined]
        _FOUND[kind] = function.overloads[signature].entry_point
    return _FOUND[kind]

"""Direct calls of compiled functions, without Numba's dispatch on the types of the arguments.

At every call Numba determines the types of all arguments, including each array of each tuple: 14 to
36 us for the 120 arrays of a sweep's kernel, as long as the kernel needs for a short month. Calling
the compiled code directly takes 2 us.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_COMPILED: dict[Any, Callable[..., Any]] = {}  # by function and `kind_of` its arguments


def kind_of(value: Any) -> Any:
    """A hashable key of a value's Numba type: equal exactly for values of one type.

    Compiled code misinterprets arguments of other types than it was compiled for.
    """
    if isinstance(value, tuple):
        return type(value), *map(kind_of, value)
    if isinstance(value, np.ndarray):
        flags = value.flags
        layout = flags.c_contiguous, flags.f_contiguous, flags.aligned, flags.writeable
        return type(value), value.dtype, value.ndim, layout
    return type(value)


def compiled_for(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The compiled code of a function for arguments of the types of these.

    It is the function itself if it is not compiled (NUMBA_DISABLE_JIT).
    """
    if not hasattr(function, "overloads"):
        return function
    kind = function, kind_of(arguments)
    if kind not in _COMPILED:
        signature = tuple(numba.typeof(argument) for argument in arguments)
        function.compile(signature)  # type: ignore[attr-defined]
        _COMPILED[kind] = function.overloads[signature].entry_point
    return _COMPILED[kind]

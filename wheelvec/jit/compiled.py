"""Decorators that compile kernels with Numba and cache the compiled code on disk.

A kernel is compiled again if any file with compiled functions has changed. Numba's cache checks
only the file of the function itself, although the functions that it calls in other files are
compiled into it: a change of such a file alone would have no effect.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import llvmlite.binding
import numba

from wheelvec.jit.cache_files import CacheFile
from wheelvec.jit.linking import Kernel
from wheelvec.model import codes

COMPILED = ("jit", "pricing", "kernels")  # the packages with compiled functions
Function = TypeVar("Function", bound=Callable[..., object])


@cache
def sources() -> str:
    """A digest of all files with compiled functions, and of the codes that they use."""
    root = Path(__file__).parent.parent
    files = [path for package in COMPILED for path in sorted((root / package).glob("*.py"))]
    files.append(Path(codes.__file__))
    return hashlib.blake2b(
        b"".join(file.read_bytes() for file in files), digest_size=16
    ).hexdigest()


@cache
def arithmetic() -> str:
    """A key of all that the last bit of a result may depend on: source, compiler and processor."""
    config: Any = numba.config
    processor = (config.CPU_NAME or llvmlite.binding.get_host_cpu_name(), config.CPU_FEATURES)
    return f"{sources()} {numba.__version__} {llvmlite.__version__} {processor}"


def njit(function: Function) -> Function:
    """The compiled function; it divides by zero as NumPy does and releases the interpreter lock."""
    return _compile(function)


def njit_lean(function: Function) -> Function:
    """The compiled function without reference counting, for functions that create no array.

    At every call Numba counts the references to every array of every tuple with atomic
    instructions: 340 of the 390 ns that the walk of a leg took. The function may create views and
    pass them to functions of its kind, but it may neither create arrays nor return views to other
    functions.
    """
    return _compile(function, _nrt=False)


def njit_straight(function: Function) -> Function:
    """The compiled straight-line body of a loop that LLVM vectorizes.

    It is always inlined, because a call would keep the loop scalar. The body has no branches except
    selects (`a if c else b` of computed values), only short loops of constant length, and calls
    only functions of its kind. Products and sums may be fused (FMA), and the sign of a zero is not
    kept; there is no other fastmath, so that NaN and inf are kept.
    """
    return _compile(function, forceinline=True, fastmath={"contract", "nsz"})


def njit_inlined(function: Function) -> Function:
    """The compiled function, as by `njit_lean`, inlined into its callers.

    It is for functions with many arrays as arguments: a call that LLVM does not inline passes each
    array as seven values on the stack, a slice as a hundred. Between the functions of a sweep that
    took half of its time.
    """
    return _compile(function, _nrt=False, forceinline=True)


def _compile(function: Function, **options: Any) -> Function:
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    # all are given: a function without them would take those of the caller that compiles it first
    every = {"nopython": True, "nogil": True, "error_model": "numpy"}
    every |= {"no_cfunc_wrapper": True}  # C calls no kernel: 0.2 s of the 13 of a first backtest
    chosen = every | {"_nrt": True, "forceinline": False, "fastmath": False} | options
    kernel: Any = Kernel(function, chosen)
    try:
        kernel.enable_caching()
        kernel._cache._cache_file = CacheFile(
            kernel._cache._cache_file, f"{llvmlite.__version__} {sources()}"
        )
    except (RuntimeError, AttributeError):
        # no folder can be written, or this version of Numba has another cache
        kernel = Kernel(function, chosen)
    return cast(Function, kernel)

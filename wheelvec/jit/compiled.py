"""How a kernel is compiled.

Cached on disk, and compiled anew whenever any file that it may have been built from changed.

Numba's own cache watches only the file that a function stands in. What it calls in another file is
compiled into it all the same, so an update of that file alone would leave the old arithmetic in use
without a word.
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
from wheelvec.model import codes

COMPILED = ("jit", "pricing", "kernels")  # the rooms in which Numba is imported
Function = TypeVar("Function", bound=Callable[..., object])


@cache
def sources() -> str:
    """A digest of every file with compiled functions, and of the codes that their constants come
    from.
    """
    package = Path(__file__).parent.parent
    files = [path for room in COMPILED for path in sorted((package / room).glob("*.py"))]
    files.append(Path(codes.__file__))
    return hashlib.blake2b(
        b"".join(file.read_bytes() for file in files), digest_size=16
    ).hexdigest()


@cache
def arithmetic() -> str:
    """What the last bit of a kernel's result may depend on.

    Its source, the compiler, and the processor compiled for.
    """
    config: Any = numba.config
    processor = (config.CPU_NAME or llvmlite.binding.get_host_cpu_name(), config.CPU_FEATURES)
    return f"{sources()} {numba.__version__} {llvmlite.__version__} {processor}"


def njit(function: Function) -> Function:
    """Compile for scalars or arrays.

    Divisions by zero give inf or NaN as in NumPy, and other threads may run meanwhile.
    """
    return _compile(function)


def njit_lean(function: Function) -> Function:
    """Compile what makes no array of its own: without counting references.

    Numba counts the references to every array of every tuple at every call, with atomic
    instructions: of the 390 ns that walking a leg took, 340 went there. What is lean may make views
    and hand them down, but neither make arrays nor hand views back to what is not lean.
    """
    return _compile(function, _nrt=False)


def njit_straight(function: Function) -> Function:
    """Compile a block of a loop that LLVM is to vectorize.

    Always inlined, for a call would keep the loop scalar.

    The body has no branches but selects (`a if c else b` of values at hand), no loops but short
    ones of constant length, and calls only its like. Products and sums may be contracted into one
    rounding, and the sign of a zero is not kept; no other liberty is taken, above all NaN and inf
    stay what they are.
    """
    return _compile(function, forceinline=True, fastmath={"contract", "nsz"})


def njit_inlined(function: Function) -> Function:
    """Lean, and copied into its callers: for what is handed a whole slice or a plan.

    A call that is none of LLVM's choice to copy hands over each array as seven values, a slice as a
    hundred, through the stack. Between the functions of a sweep that took half of its time.
    """
    return _compile(function, _nrt=False, forceinline=True)


def _compile(function: Function, **options: Any) -> Function:
    try:
        dispatcher: Any = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(
            function
        )
        dispatcher._cache._cache_file = CacheFile(
            dispatcher._cache._cache_file, f"{llvmlite.__version__} {sources()}"
        )
    except (
        RuntimeError,
        AttributeError,
    ):  # nowhere to write a cache, or a Numba that keeps it otherwise
        dispatcher = numba.njit(nogil=True, error_model="numpy", **options)(function)
    return cast(Function, dispatcher)

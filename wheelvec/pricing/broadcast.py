"""Broadcasting of arguments of any shapes, and evaluation of a kernel over contiguous blocks."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wheelvec.jit.threads import over_blocks
from wheelvec.model.errors import InputError

Array = NDArray[Any]

# Elements per compiled call: less than 5 ms, for Ctrl-C, and small enough for the L2 cache.
BLOCK = 8192
# Elements per task of a thread: at least 1 ms, so that starting the thread does not matter.
TASK = 8 * BLOCK


def run_blocks(
    kernel: Callable[..., None], inputs: Mapping[str, Any], outputs: tuple[str, ...]
) -> tuple[Any, ...]:
    """The outputs of a kernel over the broadcast inputs, evaluated in contiguous 1-D blocks.

    Masked elements (numpy.ma), null in a Series and None in a list become NaN; where `is_call` is
    masked the result is NaN.

    Args:
        kernel: called with blocks of the inputs and of the outputs, each (n,), to be filled.
        inputs: array-likes by name. They become float64, `is_call` bool.
        outputs: the dtypes of the outputs.

    Returns:
        Arrays of the broadcast shape; NumPy scalars if that is ().

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.
    """
    arrays = {name: _as_array(name, value) for name, value in inputs.items()}
    shape = _broadcast_shape(arrays)
    unknown = (
        np.ma.getmaskarray(inputs["is_call"])
        if np.ma.isMaskedArray(inputs.get("is_call"))
        else np.False_
    )
    if unknown.any():  # NaN in another input gives NaN in every kernel
        name = next(name for name in arrays if name != "is_call")
        arrays[name] = np.where(unknown, np.nan, arrays[name])
        shape = _broadcast_shape(arrays)
    results = tuple(np.empty(shape, dtype) for dtype in outputs)
    reading, writing = ["readonly", "contig", "aligned"], ["writeonly", "contig", "aligned"]
    settings: dict[str, Any] = {  # NumPy's type stubs do not know "contig"
        "flags": ["external_loop", "buffered", "ranged"],
        "op_flags": [reading] * len(arrays) + [writing] * len(results),
        "op_dtypes": ["bool" if name == "is_call" else "float64" for name in arrays]
        + list(outputs),
    }

    def run(task: slice) -> None:
        operands = (*arrays.values(), *results)
        with np.nditer(
            operands, order="C", casting="same_kind", buffersize=BLOCK, **settings
        ) as blocks:
            # read-only according to NumPy's type stubs
            blocks.iterrange = task.start, task.stop  # type: ignore[misc]
            for block in blocks:
                kernel(*block)

    if math.prod(shape):
        over_blocks(math.prod(shape), run, TASK)
    return tuple(result[()] for result in results)


def _as_array(name: str, value: Any) -> Array:
    """The value as an array of numbers; of bool for the argument `is_call`."""
    flags = name == "is_call"
    expected = (
        "True for calls and False for puts (or 1 and 0), or an array of these"
        if flags
        else "a number or an array of numbers"
    )
    try:
        array = _unmasked(name, value) if np.ma.isMaskedArray(value) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be made an array: {error}; expected {expected}") from error
    if array.dtype.kind == "O" and not flags:
        array = _without_none(array)
    if array.dtype.kind in ("b" if flags else "iuf"):
        return array
    if flags and (
        array.size == 0 or (array.dtype.kind in "iu" and bool(np.isin(array, (0, 1)).all()))
    ):
        return array.astype(bool)
    first = f", the first of them {array.flat[0]!r}" if array.size else ""
    raise InputError(
        f"{name} must be {expected}, found {array.size} value(s) of dtype {array.dtype}{first}"
    )


def _unmasked(name: str, value: Any) -> Array:
    """The data of a masked array with NaN (for is_call False) in place of masked elements.

    Masked elements have arbitrary data.
    """
    masked, data = np.ma.getmaskarray(value), np.asarray(value.data)
    if name == "is_call":
        return np.where(masked, np.zeros((), data.dtype), data)
    return np.where(masked, np.nan, data) if masked.any() and data.dtype.kind in "iuf" else data


def _without_none(array: Array) -> Array:
    """An array of numbers and None as float64 with NaN for None; other arrays unchanged."""
    kinds = {type(item) for item in array.flat}
    if not kinds <= {float, int, type(None), np.float64} or kinds == {type(None)}:
        return array
    return np.array([np.nan if item is None else item for item in array.flat], np.float64).reshape(
        array.shape
    )


def _broadcast_shape(arrays: Mapping[str, Array]) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    for name, array in arrays.items():
        try:
            shape = np.broadcast_shapes(shape, array.shape)
        except ValueError:
            shapes = ", ".join(f"{other} {found.shape}" for other, found in arrays.items())
            raise InputError(
                f"{name} has shape {array.shape}, which does not broadcast with {shape}, the shape "
                f"of the arguments before it; expected shapes that broadcast, found {shapes}"
            ) from None
    return shape

"""From arguments of any shapes to contiguous blocks of them, which a kernel takes."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wheelvec.jit.threads import over_blocks
from wheelvec.model.errors import InputError

Array = NDArray[Any]

# Elements per compiled call: under 5 ms, so that Ctrl-C is heard, and small enough for the
# second-level cache.
BLOCK = 8192
# Elements per thread at a time: 1 ms at least, so that starting one does not show.
PART = 8 * BLOCK


def run_blocks(
    kernel: Callable[..., None], inputs: Mapping[str, Any], outputs: tuple[str, ...]
) -> tuple[Any, ...]:
    """Broadcast `inputs`, run `kernel(*inputs, *outputs)` over contiguous 1-D blocks of them, and
    return the outputs.

    Every input becomes float64, the one named `is_call` bool; `outputs` are dtypes. The outputs
    have the broadcast shape, or are NumPy scalars where that is (). What is masked (numpy.ma), null
    in a Series or None in a list is NaN, and so is the result where `is_call` is masked.

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
    if unknown.any():  # NaN in any other input says so to every kernel
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

    def run(part: slice) -> None:
        operands = (*arrays.values(), *results)
        with np.nditer(
            operands, order="C", casting="same_kind", buffersize=BLOCK, **settings
        ) as blocks:
            # the stubs call it read-only
            blocks.iterrange = part.start, part.stop  # type: ignore[misc]
            for block in blocks:
                kernel(*block)

    if math.prod(shape):
        over_blocks(math.prod(shape), run, PART)
    return tuple(result[()] for result in results)


def _as_array(name: str, value: Any) -> Array:
    """`value` as an array of numbers, or of bool where `name` is is_call."""
    flags = name == "is_call"
    flags_expected = "True for calls and False for puts (or 1 and 0), or an array of these"
    expected = flags_expected if flags else "a number or an array of numbers"
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
    """A masked array's numbers, NaN where they are masked (of is_call.

    Puts): what lies under a mask is any number at all.
    """
    masked, data = np.ma.getmaskarray(value), np.asarray(value.data)
    if name == "is_call":
        return np.where(masked, np.zeros((), data.dtype), data)
    return np.where(masked, np.nan, data) if masked.any() and data.dtype.kind in "iuf" else data


def _without_none(array: Array) -> Array:
    """Numbers and None as float64, None as NaN; an array of anything else as it is."""
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
                f"{name} has shape {array.shape}, which does not broadcast with {shape}, the shape of the arguments before it; "
                f"expected shapes that broadcast, found {shapes}"
            ) from None
    return shape

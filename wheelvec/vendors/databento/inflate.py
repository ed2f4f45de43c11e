"""Compressed bytes, inflated in pieces and within a limit.

Nobody's file or answer may take all of the machine's memory.
"""

import os

import zstandard

from wheelvec.model.errors import DataError

# compressed bytes a step: a block of four bytes may inflate to 128 KB, so a step to 16 MB at most
_SLICE = 512
_GIGABYTE = 1 << 30


def most_bytes() -> int:
    """What one file or answer may inflate to, at the most.

    Half of the machine's memory, where it says how much it has.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return 4 * _GIGABYTE
    return max(memory // 2, _GIGABYTE)


class Inflater:
    """DBN bytes, plain or zstd of one or more frames, as they come.

    Args:
        most: bytes that they may inflate to.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0  # so far
        self._start, self._is_plain = b"", False
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def add(self, piece: bytes) -> list[bytes]:
        """What the next bytes inflate to, in parts.

        Raises:
            DataError: for bytes that are neither DBN nor zstd, and for more than `most`.
        """
        if len(self._start) < 3:  # the format shows in the first three bytes
            self._start += piece
            if len(self._start) < 3:
                return []
            piece, self._is_plain = self._start, self._start[:3] == b"DBN"
        return self._counted([piece]) if self._is_plain else self._inflated(piece)

    def _inflated(self, piece: bytes) -> list[bytes]:
        parts: list[bytes] = []
        for at in range(0, len(piece), _SLICE):
            left = piece[at : at + _SLICE]
            while left:
                self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
                try:
                    parts += self._counted([self._frame.decompress(left)])
                except zstandard.ZstdError as error:
                    raise DataError(f"is neither DBN nor whole zstd: {error}") from None
                left = b""
                if self._frame.eof:
                    left, self._frame = self._frame.unused_data, None
        return parts

    def _counted(self, parts: list[bytes]) -> list[bytes]:
        self.size += sum(map(len, parts))
        if self.size > self.most:
            raise DataError(f"inflates to more than {self.most:,} bytes")
        return [part for part in parts if part]

    def end(self) -> None:
        """There are no more bytes.

        Raises:
            DataError: if the last frame has no end. What was cut off between two blocks reads as
                less data.
        """
        if self._frame is not None:
            raise DataError("was cut off: its last zstd frame has no end")
        if len(self._start) < 3:
            raise DataError(f"is no DBN: it has {len(self._start)} bytes")


def inflated(data: bytes, most: int | None = None) -> bytes:
    """The whole of it, within `most` bytes, `most_bytes()` if None.

    Raises:
        DataError: for bytes that are neither DBN nor zstd, not whole, or too many.
    """
    inflater = Inflater(most_bytes() if most is None else most)
    parts = inflater.add(data)
    inflater.end()
    return parts[0] if len(parts) == 1 else b"".join(parts)

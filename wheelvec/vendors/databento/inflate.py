"""Decompression in small steps up to a limit, so that no file or answer fills the memory."""

import os

import zstandard

from wheelvec.model.errors import DataError

# compressed bytes per step: four bytes may inflate to 128 KB, so a step inflates to 16 MB at most
_SLICE = 512
_GIGABYTE = 1 << 30


def most_bytes() -> int:
    """The most bytes that one file or answer may inflate to: half of the machine's memory.

    4 GB where the size of the memory is not known.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return 4 * _GIGABYTE
    return max(memory // 2, _GIGABYTE)


class Inflater:
    """Decompresses DBN bytes, plain or zstd of one or more frames, as they arrive.

    Args:
        most: bytes that they may inflate to.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0  # so far
        self._start, self._is_plain = b"", False
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def add(self, chunk: bytes) -> list[bytes]:
        """The decompressed next bytes, as a list of chunks.

        Raises:
            DataError: for bytes that are neither DBN nor zstd, and for more than `most` bytes.
        """
        if len(self._start) < 3:  # the format shows in the first three bytes
            self._start += chunk
            if len(self._start) < 3:
                return []
            chunk, self._is_plain = self._start, self._start[:3] == b"DBN"
        return self._counted([chunk]) if self._is_plain else self._inflated(chunk)

    def _inflated(self, chunk: bytes) -> list[bytes]:
        chunks: list[bytes] = []
        for at in range(0, len(chunk), _SLICE):
            left = chunk[at : at + _SLICE]
            while left:
                self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
                try:
                    chunks += self._counted([self._frame.decompress(left)])
                except zstandard.ZstdError as error:
                    raise DataError(f"is neither DBN nor whole zstd: {error}") from None
                left = b""
                if self._frame.eof:
                    left, self._frame = self._frame.unused_data, None
        return chunks

    def _counted(self, chunks: list[bytes]) -> list[bytes]:
        self.size += sum(map(len, chunks))
        if self.size > self.most:
            raise DataError(f"inflates to more than {self.most:,} bytes")
        return [chunk for chunk in chunks if chunk]

    def end(self) -> None:
        """Check that the bytes are complete.

        Raises:
            DataError: if the last frame has no end. Without this check, bytes that were cut off
                between two blocks would be read as less data.
        """
        if self._frame is not None:
            raise DataError("was cut off: its last zstd frame has no end")
        if len(self._start) < 3:
            raise DataError(f"is no DBN: it has {len(self._start)} bytes")


def inflated(data: bytes, most: int | None = None) -> bytes:
    """Decompressed DBN bytes.

    Args:
        data: all bytes, plain or zstd.
        most: bytes that they may inflate to; None: `most_bytes()`.

    Raises:
        DataError: for bytes that are neither DBN nor zstd, cut off, or too many.
    """
    inflater = Inflater(most_bytes() if most is None else most)
    chunks = inflater.add(data)
    inflater.end()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)

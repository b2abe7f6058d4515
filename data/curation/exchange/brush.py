"""Label Studio's brush: a mask as the run lengths of a picture's red, green, blue and opacity, packed in bits.

A head of 32 bits (how many values), 5 (bits of a value, less one) and four times 4 (bits of the four sizes of run
lengths, less one). Then blocks: one bit, set where one value fills the whole block; two bits, which size of run length;
the length less one; and the value, or as many values. Source: the `rle-pack` format, which Label Studio's documentation
of BrushLabels names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.masks import Mask, from_picture

_CHANNELS: Final = 4
_VALUE_BITS: Final = 8
_SIZES: Final = (3, 4, 8, 16)
_OPAQUE: Final = 255


def packed(mask: Mask, size_wh: tuple[int, int]) -> list[int]:
    """The bytes of a mask in a picture of that size; opaque inside, transparent outside.

    Raises:
        ValueError: The mask leaves the picture.
    """
    width, height = size_wh
    left, top, right, bottom = (int(side) for side in mask.xyxy)
    if left < 0 or top < 0 or right > width or bottom > height:
        raise ValueError("the mask leaves its picture")
    picture = np.zeros((height, width), np.bool_)
    picture[top:bottom, left:right] = mask.inside
    bits = [f"{width * height * _CHANNELS:032b}", f"{_VALUE_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    bits += _blocks(picture.ravel())
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[start : start + 8], 2) for start in range(0, len(text), 8)]


def _blocks(inside: NDArray[np.bool_]) -> Iterator[str]:
    edges = np.flatnonzero(np.diff(inside.astype(np.int8))) + 1
    starts = np.concatenate([[0], edges, [len(inside)]])
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        left, value = (end - start) * _CHANNELS, _OPAQUE if inside[start] else 0
        while left:
            length = min(left, 1 << _SIZES[-1])
            size = next(number for number, bits in enumerate(_SIZES) if length <= 1 << bits)
            yield f"1{size:02b}{length - 1:0{_SIZES[size]}b}{value:0{_VALUE_BITS}b}"
            left -= length


def unpacked(content: object, size_wh: tuple[int, int]) -> Mask:
    """The mask of such bytes: every pixel that is not transparent.

    Raises:
        ValueError: They are no such bytes, end too early, or are not of a picture of that size.
    """
    width, height = size_wh
    if not isinstance(content, list) or not all(type(byte) is int and 0 <= byte < 256 for byte in content):
        raise ValueError("its brush strokes are no bytes")
    bits = _Bits(bytes(content))
    count = bits.take(32)
    if count != width * height * _CHANNELS:
        raise ValueError(f"its brush strokes are of {count / _CHANNELS:g} pixels, not {width} x {height}")
    value_bits = bits.take(5) + 1
    sizes = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint32)
    at = 0
    while at < count:
        filled = bits.take(1)
        end = at + 1 + bits.take(sizes[bits.take(2)])
        if end > count:
            raise ValueError("its brush strokes hold more pixels than the picture")
        if filled:
            values[at:end] = bits.take(value_bits)
        else:
            values[at:end] = [bits.take(value_bits) for _ in range(end - at)]
        at = end
    return from_picture(values.reshape(height, width, _CHANNELS)[..., -1])


class _Bits:
    """Bytes, read bit by bit."""

    def __init__(self, content: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in content)
        self._at = 0

    def take(self, count: int) -> int:
        """The next `count` bits as a number; raises ValueError at the end."""
        self._at += count
        if self._at > len(self._bits):
            raise ValueError("its brush strokes are cut short")
        return int(self._bits[self._at - count : self._at], 2)

"""Random numbers of a training step that are the same on every backend.

`keras.random` gives other numbers on other backends and for other batch sizes. Here a number is a
hash of a seed, a counter and its own position: the first rows of a batch get the same numbers
whether more rows follow or not, and a NumPy formula can check them.
"""

from __future__ import annotations

from typing import Any

from keras import ops

_SIGN = 2**31
_GOLDEN = 0x9E3779B9
_STREAM = 0x85EBCA6B
# Two rounds of multiply and xor-shift with little bias (the constants of `lowbias32`).
_FACTORS = (0x7FEB352D, 0x846CA68B)


def uniform_like(reference: Any, seed: int, counter: Any, stream: int = 0):
    """Float32 uniform numbers in (0, 1) of the shape `(rows, columns)` of `reference`.

    Args:
        reference: Tensor of shape `(rows, columns)`, any dtype; the number of columns is static.
        seed: Integer, set by the user.
        counter: Integer or integer tensor of shape `()`, the training step; may be traced.
        stream: Integer; other streams of one step are other numbers.
    """
    columns = reference.shape[-1]
    # Counted rather than `arange`: the number of rows may be unknown while TensorFlow traces.
    row = ops.cumsum(ops.ones_like(reference[:, :1], dtype="int32"), axis=0) - 1
    index = row * columns + ops.arange(columns, dtype="int32")
    key = ops.cast(counter, "int32") + _signed(stream * _STREAM)
    key = _mixed(_mixed(key) + _signed(seed * _GOLDEN))
    bits = _mixed(_mixed(index) + key)
    # 23 bits and a half are exact in float32, and neither 0 nor 1.
    whole = ops.bitwise_and(ops.bitwise_right_shift(bits, 9), 2**23 - 1)
    return (ops.cast(whole, "float32") + 0.5) / 2.0**23


def normal_like(reference: Any, seed: int, counter: Any, stream: int = 0):
    """Float32 standard normal numbers, otherwise as `uniform_like`."""
    return 2.0**0.5 * ops.erfinv(2.0 * uniform_like(reference, seed, counter, stream) - 1.0)


def _mixed(x):
    """Every bit of the result depends on every bit of the int32 `x`."""
    for shift, factor in zip((16, 15), _FACTORS, strict=True):
        x = _shifted(x, shift) * _signed(factor)
    return _shifted(x, 16)


def _shifted(x, shift):
    # A right shift of a negative int32 fills with ones: the mask makes it a logical shift.
    logical = ops.bitwise_and(ops.bitwise_right_shift(x, shift), 2 ** (32 - shift) - 1)
    return ops.bitwise_xor(x, logical)


def _signed(number):
    """The int32 with the low 32 bits of a Python integer."""
    return (number + _SIGN) % 2**32 - _SIGN

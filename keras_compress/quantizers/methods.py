"""Quantizers by the names and bit widths users write."""

from __future__ import annotations

import re
from collections.abc import Callable

from keras_compress.quantizers.binary import BinaryQuantizer
from keras_compress.quantizers.codebook import CodebookQuantizer
from keras_compress.quantizers.float_levels import FORMATS
from keras_compress.quantizers.float_quantizer import FloatQuantizer
from keras_compress.quantizers.lsq import LSQQuantizer
from keras_compress.quantizers.lsq_plus import LSQPlusQuantizer
from keras_compress.quantizers.min_max import MinMaxQuantizer
from keras_compress.quantizers.moving_average import MovingAverageQuantizer
from keras_compress.quantizers.mse import MSEQuantizer
from keras_compress.quantizers.percentile import PercentileQuantizer
from keras_compress.quantizers.power import PowerQuantizer
from keras_compress.quantizers.quantizer import Quantizer
from keras_compress.quantizers.stats import StatsQuantizer
from keras_compress.quantizers.ternary import TernaryQuantizer


def _lsq(bits: int) -> Quantizer:
    # A signed step has no level above zero at one bit.
    return BinaryQuantizer() if bits == 1 else LSQQuantizer(bits)


#: Name -> bits -> quantizer.
METHODS: dict[str, Callable[[int], Quantizer]] = {
    "codebook": CodebookQuantizer,
    "lsq": _lsq,
    "lsq_plus": LSQPlusQuantizer,
    "minmax": MinMaxQuantizer,
    "moving_average": MovingAverageQuantizer,
    "mse": MSEQuantizer,
    "percentile": PercentileQuantizer,
    "power": PowerQuantizer,
    "stats": StatsQuantizer,
}
_WITHOUT_BITS: dict[str, Callable[[], Quantizer]] = {
    "binary": BinaryQuantizer,
    "ternary": TernaryQuantizer,
    **{name: lambda name=name: FloatQuantizer(name) for name in FORMATS},  # type: ignore[misc]
}
NAMES = (
    f"'int1' to 'int8', one of {sorted(_WITHOUT_BITS)}, or a method of {sorted(METHODS)} followed "
    "by its bits such as 'stats3'"
)


def parse_name(name: str) -> int | Quantizer | None:
    """Bits of `"int4"`, the quantizer of `"binary"`, `"e4m3"` or `"stats3"`; `None` for others."""
    if name in _WITHOUT_BITS:
        return _WITHOUT_BITS[name]()
    match = re.fullmatch(r"([a-z_]+)([1-8])", name)
    if not match:
        return None
    kind, bits = match.group(1), int(match.group(2))
    if kind == "int":
        return bits
    return METHODS[kind](bits) if kind in METHODS else None

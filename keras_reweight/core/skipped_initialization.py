"""Building layers whose values are about to be overwritten."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras

from keras_reweight.core.selection import all_layers


@contextlib.contextmanager
def skipped_initialization() -> Iterator[Callable[[keras.layers.Layer], keras.layers.Layer]]:
    """A function that makes an unbuilt layer start from zeros; the layer is as before afterwards.

    Drawing the first values costs more than copying others over them: on JAX a compilation for
    every new shape. Sublayers that do not exist before the layer is built draw theirs as usual.
    """
    replaced = []

    def skip(layer):
        for one in (layer, *all_layers(layer)):
            for name, value in list(vars(one).items()):
                public = name.endswith("_initializer") and not name.startswith("_")
                if public and isinstance(value, keras.initializers.Initializer):
                    replaced.append((one, name, value))
                    setattr(one, name, keras.initializers.Zeros())
        return layer

    try:
        yield skip
    finally:
        for one, name, value in replaced:
            setattr(one, name, value)

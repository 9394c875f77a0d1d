"""Fits of tests start with an optimizer that has its variables.

Keras makes them in the first train step. TensorFlow must then trace the step a second time, which
is half of the time of a small fit; the other backends make them before the step. What differs for
the user is tested by `tests.test_built_optimizers`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras

_keras_fit = keras.Model.fit


def is_distributed(model) -> bool:
    """Whether the model belongs to a strategy, in whose scope its variables must be made."""
    import tensorflow as tf

    # Outside of every scope TensorFlow and Keras give the strategy that stands for none.
    none = tf.distribute.get_strategy()
    return tf.distribute.has_strategy() or model.distribute_strategy is not none


@functools.wraps(_keras_fit)
def _fit(model, *args, **kwargs):
    optimizer = getattr(model, "optimizer", None)
    waiting = model.built and optimizer is not None and not optimizer.built
    if waiting and not is_distributed(model):
        optimizer.build(model.trainable_variables)
    return _keras_fit(model, *args, **kwargs)


def install() -> None:
    """Build optimizers at the beginning of `fit`, from now on."""
    keras.Model.fit = _fit


@contextlib.contextmanager
def uninstalled() -> Iterator[None]:
    """`fit` as Keras has it."""
    current, keras.Model.fit = keras.Model.fit, _keras_fit
    try:
        yield
    finally:
        keras.Model.fit = current

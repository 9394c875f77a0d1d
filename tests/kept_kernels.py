"""TensorFlow keeps the kernels of operations where a test sets the seed.

To reset the random operations TensorFlow drops every kernel that it has made, and to make them
again takes longer than a small test. Keras draws from operations without a state of their own,
which need no reset: so kernels are dropped only if an operation with a state has asked for a seed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import keras

_stack = contextlib.ExitStack()
_asked = False


def asked() -> bool:
    """Whether a random operation with a state was made in this test."""
    return _asked


def forget() -> None:
    """What was made before no longer counts; its kernels are gone."""
    global _asked
    _asked = False


def install() -> None:
    """Set seeds without dropping kernels that hold no random state, from now on."""
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import context
    from tensorflow.python.framework import random_seed

    get_seed, set_global_seed = random_seed.get_seed, context.Context._set_global_seed

    def noticed(op_seed):
        global _asked
        _asked = True
        return get_seed(op_seed)

    def kept(self, seed):
        if _asked:
            return set_global_seed(self, seed)
        with mock.patch.object(pywrap_tfe, "TFE_ContextClearCaches", lambda handle: None):
            return set_global_seed(self, seed)

    _stack.enter_context(mock.patch.object(random_seed, "get_seed", noticed))
    _stack.enter_context(mock.patch.object(context.Context, "_set_global_seed", kept))


@contextlib.contextmanager
def uninstalled() -> Iterator[None]:
    """Seeds as TensorFlow sets them."""
    _stack.close()
    try:
        yield
    finally:
        if keras.backend.backend() == "tensorflow":
            install()

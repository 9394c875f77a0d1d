"""Watches the process-wide settings that one test could change under the feet of the next."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np

from tests import kept_kernels

_cleared = itertools.count()


def settings() -> dict[str, Any]:
    return {
        "keras.config.floatx": keras.config.floatx(),
        "keras.config.epsilon": keras.config.epsilon(),
        "keras.config.image_data_format": keras.config.image_data_format(),
        "keras.distribution.distribution": keras.distribution.distribution(),
        "numpy.geterr": np.geterr(),
    }


def restore(values: dict[str, Any]) -> None:
    keras.config.set_floatx(values["keras.config.floatx"])
    keras.config.set_epsilon(values["keras.config.epsilon"])
    keras.config.set_image_data_format(values["keras.config.image_data_format"])
    keras.distribution.set_distribution(values["keras.distribution.distribution"])
    np.seterr(**values["numpy.geterr"])


def clear_session() -> None:
    """Layer names begin anew; TensorFlow mostly keeps the kernels of operations that it has made.

    `keras.backend.clear_session` drops them. To make them again takes longer than a small test,
    and never to drop them would keep what tests have compiled. Those with random numbers go.
    """
    with contextlib.ExitStack() as stack:
        stays = next(_cleared) % 50 and not kept_kernels.asked()
        if keras.backend.backend() == "tensorflow" and stays:
            from tensorflow.python.eager import context

            keep = mock.patch.object(context.context(), "clear_kernel_cache", lambda: None)
            stack.enter_context(keep)
        keras.backend.clear_session(free_memory=False)
    kept_kernels.forget()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Puts every setting back at the end, and raises `AssertionError` if one had changed."""
    before = settings()
    # Asking Keras for the dtype policy fixes it, and setting floatx would no longer change the
    # default: so the expected policy is derived, and looked at only at the end.
    before_policy = keras.config.floatx()
    try:
        yield
    finally:
        changed = {key: value for key, value in settings().items() if value != before[key]}
        policy = keras.config.dtype_policy().name
        if policy != before_policy:
            changed["keras.config.dtype_policy"] = policy
        clear_session()
        restore(before)
    assert not changed, f"the test left these global settings changed: {changed}"

"""Running code without a trace in the random generators of the host."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import keras
import numpy as np


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Put the global generators of Python, NumPy and PyTorch back on exit.

    Keras shuffles training data with them, and on PyTorch every new data loader draws from the
    global one even if it does not shuffle, so that an extra evaluation changes the next epoch.
    """
    python, legacy = random.getstate(), np.random.get_state()
    torch_state = None
    if keras.backend.backend() == "torch":
        import torch

        torch_state = torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        if torch_state is not None:
            torch.set_rng_state(torch_state)

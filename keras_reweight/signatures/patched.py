"""Patches for the length of a `with` block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_reweight.core.validation import check_built
from keras_reweight.signatures.alpha import Alpha, check_alpha, strengths
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.signature_patcher import (
    SignaturePatcher,
    active_patcher,
    check_fits,
)


def patched(
    model: keras.Model,
    signatures: Patch | Mapping[str, Patch],
    alpha: Alpha | Mapping[str, Alpha] = 1.0,
) -> contextlib.AbstractContextManager[keras.Model]:
    """Patch a model inside a `with` block, and restore it bit for bit on exit.

    Restores on exceptions too. Blocks nest, and work while a `SignaturePatcher` has other patches
    on. Training inside the block is not lost: leaving it then raises, and the weights stay as they
    are.

    Args:
        model: A built `keras.Model`.
        signatures: A `Patch`, or a dict from name to `Patch`.
        alpha: Float, strength of all patches; for a `Patch`, or a dict from layers to floats as
            for `SignaturePatcher`; for several patches, or a dict from name to one of these.
            Defaults to `1.0`.

    Returns:
        A context manager that gives the model.

    Raises:
        TypeError: If `signatures` is neither a patch nor a dict of patches, or an alpha not a
            number.
        ValueError: If `signatures` is empty, names or layers in `alpha` do not fit, a name is
            already active, a patch is of another architecture or a weight would overflow; nothing
            is patched then.
        RuntimeError: On exit, if the weights were changed inside the block.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    patch = kr.Patch.from_deltas(model, [(model.layers[0].kernel, np.ones((2, 1)))], name="shift")
    before = kr.weight_digest(model)
    with kr.patched(model, {"noise": patch, "blur": -patch}, alpha={"noise": 0.5, "blur": 0.2}):
        assert kr.weight_digest(model) != before
    assert kr.weight_digest(model) == before
    ```

    Reference:
        None; `SignaturePatcher` for a block.
    """
    check_built(model, "patched")
    patches = named_patches(signatures, alpha)
    for name, (patch, strength) in patches.items():
        check_fits(model, patch, name)
        strengths(model, patch, strength)
    return _patched(model, patches)


@contextlib.contextmanager
def _patched(model, patches) -> Iterator[keras.Model]:
    patcher = active_patcher(model) or SignaturePatcher(model)
    patcher.apply_all(patches)
    try:
        yield model
    except BaseException as error:
        try:
            patcher.remove_all(list(patches))
        except RuntimeError as conflict:
            # The error on its way out is the cause; this one would hide it.
            error.add_note(f"The patches {list(patches)} were left on: {conflict}")
        raise
    patcher.remove_all(list(patches))


def named_patches(
    signatures: Patch | Mapping[str, Patch], alpha: Any
) -> dict[str, tuple[Patch, Alpha]]:
    """Name -> (patch, alpha), checked."""
    if isinstance(signatures, Patch):
        return named_patches({signatures.name: signatures}, {signatures.name: alpha})
    if not isinstance(signatures, Mapping):
        raise TypeError(f"`signatures` must be a Patch or a dict of patches, got {signatures!r}.")
    if not signatures:
        raise ValueError(f"`signatures` is empty: there is nothing to apply, got {signatures!r}.")
    for name, patch in signatures.items():
        if not isinstance(name, str):
            raise TypeError(f"`signatures` needs strings as names, got {name!r}.")
        if not isinstance(patch, Patch):
            raise TypeError(f"`signatures`[{name!r}] must be a Patch, got {patch!r}.")
    alphas = alpha if isinstance(alpha, Mapping) else dict.fromkeys(signatures, alpha)
    if set(alphas) != set(signatures):
        raise ValueError(
            f"`alpha` names {sorted(alphas)}, but the signatures are {sorted(signatures)}."
        )
    for value in alphas.values():
        check_alpha(value)
    return {name: (patch, alphas[name]) for name, patch in signatures.items()}

"""Removing the directions of weights that the loss hardly curves along."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.kronecker import (
    kernel_from_matrix,
    kernel_matrix,
    kronecker_refusal,
)
from keras_reweight.core.selection import all_layers
from keras_reweight.core.validation import check_built, check_choice, check_number
from keras_reweight.editing.kronecker_factors import KroneckerFactors
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_selection import select_weights

SELECTIONS = ("pairs", "sides", "energy")


def curvature_edit(
    model: keras.Model,
    factors: KroneckerFactors,
    *,
    keep: float = 0.9,
    select: str = "pairs",
    layers: Any = None,
    name: str = "curvature",
) -> Patch:
    """Keep the part of each kernel that carries the curvature of the loss; forget the rest.

    What many samples share bends the loss strongly along few directions; what was learned by heart,
    such as single wrong labels, sits in directions that are flat on average. In the eigenbases
    `U_A`, `U_G` of the Kronecker factors the kernel is `C = U_A^T K U_G`, and the curvature along
    entry `(i, j)` is `M_ij = a_i g_j`. The edit keeps the largest `M_ij` that together hold a share
    `keep` of their sum, sets the other entries of `C` to zero and goes back. No training, no list
    of what to forget.

    Use it on hidden layers of networks that have memorized, first with `keep=0.99`, then lower,
    with an eye on the accuracy; 0.6 to 0.9 are usual. Not for the layer that makes the predictions,
    nor for models that recall facts on purpose: those sit in the same flat directions.

    Args:
        model: The built `keras.Model` the factors were collected for.
        factors: `KroneckerFactors` from `kfac_factors`.
        keep: Float in (0, 1], the share of curvature to keep; `1.0` keeps everything. Defaults to
            `0.9`.
        select: `"pairs"` as above; `"sides"` keeps on each side the fewest eigenvectors with a
            share `keep` of its eigenvalues; `"energy"` ranks and counts `M_ij C_ij ** 2`. Defaults
            to `"pairs"`.
        layers: Names, a `re.Pattern`, a predicate, layers or a list of these, to choose among the
            layers of `factors`; `None` takes all of them.
        name: String, name of the patch. Defaults to `"curvature"`.

    Returns:
        A `Patch` of kind `"curvature_edit"` of the kernels.

    Raises:
        TypeError: If `model` or `factors` is of another type, or `keep` is not a number.
        ValueError: If `keep` is outside (0, 1], `select` is unknown, `factors` are of another
            architecture or have no curvature at all, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    hidden = keras.layers.Dense(4, "relu", name="hidden")
    model = keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    factors = kr.editing.kfac_factors(model, x, layers="hidden")
    patch = kr.editing.curvature_edit(model, factors, keep=0.9)
    with patch.patched(model, alpha=1.0):
        logits = model.predict(x, verbose=0)
    ```

    Reference:
        Merullo et al., "From Memorization to Reasoning in the Spectrum of Loss Curvature", 2025,
        arXiv 2510.24256; goodfire-ai/memorization_kfac.

    Deviations:
        The official code walks over the pairs with a heap instead of sorting them, which selects
        the same set, and leaves layers alone from a share of 0.9999 on.

    Cost:
        Two eigenvalue decompositions a layer, `in ** 3 + out ** 3` operations, and a sort of
        `in * out` numbers, in float64.
    """
    check_built(model, "curvature_edit")
    if not isinstance(factors, KroneckerFactors):
        raise TypeError(f"`factors` must be KroneckerFactors, got {factors!r}.")
    architecture = Architecture.of(model)
    architecture.check(factors.architecture, f"`factors`={factors!r}")
    check_number("keep", keep, exclusive_minimum=0.0, maximum=1.0)
    check_choice("select", select, SELECTIONS)
    indices = factors.indices
    if layers is not None:
        chosen = select_weights(model, layers, "affine").indices
        indices = tuple(index for index in indices if index in chosen)
        if not indices:
            raise ValueError(f"`layers`={layers!r} selects none of {list(factors.paths)}.")
    refusal = kronecker_refusal(model)
    treated = [layer for layer in all_layers(model) if refusal(layer) is None]
    owners = {id(layer.kernel): layer for layer in treated}
    deltas = []
    for index, array in read_weights(model, indices).items():
        layer = owners.get(id(model.weights[index]))
        if layer is None:
            raise ValueError(f"`factors` of {architecture[index]}: no kernel of this model.")
        kernel = kernel_matrix(layer, array.astype("float64"))
        a, u_a, g, u_g = factors.spectrum(index)
        coefficients = u_a.T @ kernel @ u_g
        removed = np.where(_kept(a, g, coefficients, keep, select, architecture[index]), 0.0, 1.0)
        delta = -(u_a @ (coefficients * removed) @ u_g.T)
        deltas.append((model.weights[index], kernel_from_matrix(layer, delta)))
    return Patch.from_deltas(model, deltas, name=name, kind="curvature_edit")


def _kept(a, g, coefficients, keep, select, spec):
    """Boolean array of shape `(in, out)`: what stays."""
    mass = np.outer(a, g)
    if not mass.sum() > 0.0:
        raise ValueError(f"`factors` of {spec} have no curvature: all of it is zero.")
    if keep == 1.0:
        return np.ones(mass.shape, "bool")
    if select == "sides":
        return np.outer(_largest(a, keep), _largest(g, keep))
    if select == "energy":
        mass = mass * coefficients**2
    return _largest(mass.ravel(), keep).reshape(mass.shape)


def _largest(values, share):
    """The fewest of the largest values that hold a share of the sum; ties in their order."""
    order = np.argsort(-values, kind="stable")
    total = np.cumsum(values[order])
    kept = np.zeros(len(values), "bool")
    kept[order[: np.searchsorted(total, share * total[-1]) + 1]] = True
    return kept

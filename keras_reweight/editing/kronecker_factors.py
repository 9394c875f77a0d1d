"""Kronecker factors of the curvature, apart from model and data."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from keras_reweight.editing import _weight_arrays
from keras_reweight.signatures.architecture import Architecture

_FILE = "keras_reweight.KroneckerFactors"


class KroneckerFactors:
    """Second moments `A` of the inputs and `G` of the gradients of layers, and their spectra.

    `kfac_factors` collects them, `curvature_edit` uses them; saved once, they serve any number of
    edits. The curvature of the loss by the kernel of a layer is close to the Kronecker product of
    the two, so `A_i * G_j` of their eigenvalues is that along one direction.

    Args:
        architecture: `Architecture` of the models they belong to.
        factors: Dict from position of a kernel in `model.weights` to the pair `(A, G)` of
            symmetric float arrays of shape `(in, in)` and `(out, out)`; the kernel as a matrix has
            the shape `(in, out)`.

    Returns:
        An object with `factors`, `spectrum(weight)`, `indices`, `paths`, `save(path)` and
        `load(path)`. The spectrum is `(values of A, vectors of A, values of G, vectors of G)`,
        float64, largest values first, vectors in columns.

    Raises:
        TypeError: If `architecture` is no `Architecture` or `factors` no dict of pairs.
        ValueError: If `factors` is empty, or a pair does not fit its weight or is not finite; from
            `load`, if the file is damaged; from `spectrum`, if there is no such weight.

    Example:

    ```python
    import os
    import tempfile

    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    factors = kr.editing.kfac_factors(model, x)
    path = os.path.join(tempfile.mkdtemp(), "factors.safetensors")
    factors.save(path)
    again = kr.editing.KroneckerFactors.load(path)
    of_inputs, _, of_gradients, _ = again.spectrum("head/kernel")
    ```

    Reference:
        Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
        Curvature", ICML 2015, arXiv 1503.05671, section 3.

    Cost:
        Eight bytes times `in ** 2 + out ** 2` a layer; `spectrum` takes the cubes of the two in
        operations.
    """

    def __init__(
        self,
        architecture: Architecture,
        factors: Mapping[int, tuple[np.ndarray, np.ndarray]],
    ):
        _weight_arrays.check_indices("factors", architecture, factors)
        self.architecture = architecture
        self.factors: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for index in sorted(factors):
            pair = factors[index]
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(f"`factors`[{index}] must be a pair of arrays, got {pair!r:.80}.")
            inner, outer = (np.array(factor, "float64") for factor in pair)
            spec = architecture[index]
            square = all(f.ndim == 2 and f.shape[0] == f.shape[1] for f in (inner, outer))
            if not square or len(inner) * len(outer) != np.prod(spec.shape):
                raise ValueError(
                    f"`factors`: shapes {inner.shape} and {outer.shape} do not fit weight {index}, "
                    f"{spec}."
                )
            if not (np.isfinite(inner).all() and np.isfinite(outer).all()):
                raise ValueError(f"`factors` of weight {index}, {spec}, are not finite.")
            self.factors[index] = (inner, outer)

    @property
    def indices(self) -> tuple[int, ...]:
        """Positions of the kernels in `model.weights`."""
        return tuple(self.factors)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the kernels, without the name of the model."""
        return tuple(self.architecture[index].path for index in self.factors)

    def spectrum(self, weight: int | str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues and eigenvectors of `A`, then of `G`, largest first, never negative."""
        index = _weight_arrays.position_of(self.architecture, self.factors, weight)
        found: list[np.ndarray] = []
        for factor in self.factors[index]:
            values, vectors = np.linalg.eigh(factor)
            found += [np.maximum(values[::-1], 0.0), vectors[:, ::-1]]
        return found[0], found[1], found[2], found[3]

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file; the same factors give the same bytes."""
        arrays = {
            f"{index}.{part}": factor
            for index, pair in self.factors.items()
            for part, factor in zip("AG", pair, strict=True)
        }
        _weight_arrays.save(path, self.architecture, arrays, kind=_FILE, header={})

    @classmethod
    def load(cls, path: str | os.PathLike) -> KroneckerFactors:
        """Read a file that `save` wrote."""
        architecture, arrays, _ = _weight_arrays.load(path, kind=_FILE)
        indices = {int(name.partition(".")[0]) for name in arrays}
        return cls(architecture, {i: (arrays[f"{i}.A"], arrays[f"{i}.G"]) for i in sorted(indices)})

    def __repr__(self) -> str:
        return f"KroneckerFactors({list(self.paths)})"

"""Derivatives of the mean loss of a whole data set, summed batch by batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.aux_targets import split_targets
from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.forward import make_forward
from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients.fisher_diagonal import fisher_diagonal
from keras_reweight.core.gradients.hessian_vector_product import resolve_method
from keras_reweight.core.gradients.make_hessian_vector_product import make_hessian_vector_product
from keras_reweight.core.gradients.make_jvp import make_jvp
from keras_reweight.core.gradients.make_value_and_grad import make_value_and_grad


class LossSums:
    """Sums of `sample_weight[i] * loss_i` over data, and their derivatives as flat vectors.

    `loss_i` is the loss of sample `i` in a batch of its own, in inference mode. Vectors are NumPy
    float64, so solvers give the same numbers on every backend up to the rounding of the products.

    Args:
        model: A built `keras.Model`.
        data: Data whose first batch tells labels that do not fit.
        loss: As in `keras_reweight.gradients`, `None` for the compiled one.
        variables: As in `keras_reweight.gradients`, `None` for the trainable ones.
        batch_size: Integer, for arrays.
        caller: Name for error messages.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Any,
        *,
        loss: Any = None,
        variables: Any = None,
        batch_size: int = 32,
        caller: str = "LossSums",
    ):
        x, y, sample_weight = next(self.batches(data, batch_size), (None, None, None))
        if x is None:
            raise ValueError(f"{caller}: `data` holds no samples.")
        arguments = check_arguments(
            caller,
            model,
            x,
            y,
            loss=loss,
            sample_weight=sample_weight,
            variables=variables,
            per_sample=True,
        )
        self.model, self.batch_size = model, batch_size
        self.spec, self.variables = arguments.spec, arguments.variables
        self.others = arguments.others
        self._loss, self._key = loss, arguments.key()
        self._objective = Objective(model, arguments.spec, training=False)

    @staticmethod
    def batches(data: Any, batch_size: int) -> Iterator[tuple[Any, Any, Any]]:
        """Batches of one size with weights: a smaller last one is filled up with weight zero."""
        full = 0
        for x, y, sample_weight in iterate_batches(data, batch_size):
            y, _ = split_targets(y)
            count = batch_length((x, y))
            full = max(full, count)
            if sample_weight is None:
                sample_weight = np.ones(count, "float32")
            x, y = padded((x, y), full - count)
            zeros = functools.partial(_with_zeros, missing=full - count)
            yield x, y, tree.map_structure(zeros, sample_weight)

    def count(self, data: Any) -> int:
        """Number of samples."""
        return sum(batch_length((x, y)) for x, y, _ in iterate_batches(data, self.batch_size))

    def value(self, data: Any) -> float:
        """The summed loss."""
        function = self._built(
            "value", lambda fn: make_forward(fn, [*self.variables, *self.others])
        )
        batches = self.batches(data, self.batch_size)
        return sum(float(ops.convert_to_numpy(function(*batch))) for batch in batches)

    def gradient(self, data: Any) -> np.ndarray:
        """Gradient of the summed loss, float64 of shape `(size,)`."""
        return sum(self.batch_gradients(data), np.zeros(self.size))

    def batch_gradients(self, data: Any) -> Iterator[np.ndarray]:
        """The same batch by batch."""

        def build(fn):
            return make_value_and_grad(fn, self.variables, others=self.others)

        function = self._built("gradient", build)
        for batch in self.batches(data, self.batch_size):
            yield self.flat(function(*batch)[1])

    def hessian_product(self, batches: Iterable, vector: np.ndarray) -> np.ndarray:
        """Hessian of the summed loss of these batches times a flat vector."""
        method = resolve_method(self.model, False)

        def build(fn):
            return make_hessian_vector_product(
                fn, self.variables, others=self.others, method=method
            )

        function = self._built(f"hessian_product {method}", build)
        parts = self.parts(vector)
        total = np.zeros(self.size)
        for batch in batches:
            total += self.flat(function(parts, *batch))
        return total

    def squared_gradients(self, data: Any) -> np.ndarray:
        """Sum over the samples of their weight times their squared gradient."""
        total = np.zeros(self.size)
        for x, y, weights in self.batches(data, self.batch_size):
            # The function squares the weight with the gradient.
            roots = tree.map_structure(lambda leaf: np.sqrt(leaf).astype("float32"), weights)
            squares = fisher_diagonal(
                self.model,
                x,
                y,
                loss=self._loss,
                sample_weight=roots,
                variables=self.variables,
                batch_size=None,
            )
            total += batch_length((x, y)) * self.flat(squares)
        return total

    def directional(self, vector: np.ndarray) -> Callable[[Any, Any], Any]:
        """`(x, y) -> <gradient of loss_i, vector>` for every sample, shape `(batch,)`."""

        def build():
            return make_jvp(self._objective.samples, self.variables, others=self.others)

        function = cached(self.model, ("directional", self._key), self.spec, build)
        parts = self.parts(vector)
        return lambda x, y: function(parts, x, y)[1]

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(int(np.prod(variable.shape)) for variable in self.variables)

    def flat(self, tensors: Iterable) -> np.ndarray:
        """Tensors of the shapes of the variables as one float64 vector."""
        arrays = [ops.convert_to_numpy(tensor) for tensor in tensors]
        return np.concatenate([np.asarray(array, "float64").ravel() for array in arrays])

    def parts(self, vector: np.ndarray) -> list[np.ndarray]:
        """The way back, in float32 (float64 for variables of that type)."""
        found, start = [], 0
        for variable in self.variables:
            size = int(np.prod(variable.shape))
            part = vector[start : start + size].reshape(tuple(variable.shape))
            found.append(part.astype("float64" if variable.dtype == "float64" else "float32"))
            start += size
        return found

    def _built(self, name, make):
        def build():
            return make(lambda x, y, weights: ops.sum(self._objective.samples(x, y, weights)))

        return cached(self.model, (name, self._key), self.spec, build)


def padded(structure: Any, missing: int) -> Any:
    """Nested NumPy arrays with `missing` copies of their first sample at the end."""

    def pad(leaf):
        if leaf is None or not missing:
            return leaf
        return np.concatenate([leaf, np.repeat(leaf[:1], missing, axis=0)])

    return tree.map_structure(pad, structure)


def _with_zeros(leaf, missing):
    if leaf is None or not missing:
        return leaf
    return np.concatenate([leaf, np.zeros((missing, *leaf.shape[1:]), leaf.dtype)])

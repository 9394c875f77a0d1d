"""Output layer for ordered classes, between proportional odds and separate boundaries."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts
from keras_reweight.core.validation import check_boolean, check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class OrdinalHead(keras.layers.Layer):
    """Cumulative logits of ordered classes, with boundaries that are drawn together.

    Use it with `OrdinalCrossentropy` where the last classes are too rare for a boundary of their
    own. The logit of `P(y <= k)` is `a_k + x . b_k` with `b_k = psi_1 + .. + psi_k`, and the
    penalty `penalty * sum_l |psi_l|_1` shrinks neighboring boundaries towards the same weights:
    none of it is a logistic regression per boundary, much of it the proportional odds model.
    Standardize the features. As a term of the loss the penalty gives small differences; give
    `proximal_rate` for exact zeros.

    Args:
        num_classes: Integer >= 2.
        penalty: Float >= 0, weight of the L1 penalty. Defaults to `1e-3`.
        penalize_first: Boolean, whether `psi_1`, the weights the boundaries share, counts in the
            penalty, as in the paper. Defaults to `True`.
        proximal_rate: `None`, or float > 0, the learning rate of the optimizer: instead of a term
            of the loss the penalty is then a soft threshold of `proximal_rate * penalty` after
            every update. With plain SGD this is proximal gradient descent, whose limit is the
            minimum of loss plus penalty; with adaptive optimizers the effective penalty differs.
            Defaults to `None`.
        class_counts: `None`, or a list of `num_classes` samples per class, whose shares the first
            intercepts give; equal shares otherwise. Defaults to `None`.
        initializer: String or `keras.initializers.Initializer` of the differences. Defaults to
            `"zeros"`, the intercepts alone.
        **kwargs: Arguments of `keras.layers.Layer`.

    Returns:
        A layer from float tensors of shape `(batch, ..., features)` to cumulative logits of shape
        `(batch, ..., num_classes - 1)`; `ordinal_probabilities` makes class probabilities of them.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `class_counts` has not `num_classes` entries,
            or Keras does not know `initializer`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    head = kr.layers.OrdinalHead(3, penalty=0.01, proximal_rate=0.1, class_counts=[20, 10, 2])
    model = keras.Sequential([keras.Input((4,)), head])
    model.compile(keras.optimizers.SGD(0.1), kr.losses.OrdinalCrossentropy(3))
    x = np.random.default_rng(0).normal(size=(16, 4))
    model.fit(x, np.arange(16) % 3, verbose=0)
    probabilities = kr.functional.ordinal_probabilities(model.predict(x, verbose=0))
    ```

    Reference:
        Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional Odds", ICML
        2023, arXiv 2305.18700 (PRESTO); official code gregfaletto/presto.

    Deviations:
        Trained by gradient descent on batches instead of coordinate descent along a path of
        penalties.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        penalty: float = 1e-3,
        penalize_first: bool = True,
        proximal_rate: float | None = None,
        class_counts: list[int] | None = None,
        initializer: Any = "zeros",
        **kwargs: Any,
    ):
        check_integer("num_classes", num_classes, minimum=2)
        check_number("penalty", penalty, minimum=0.0)
        check_boolean("penalize_first", penalize_first)
        if proximal_rate is not None:
            check_number("proximal_rate", proximal_rate, exclusive_minimum=0.0)
        if class_counts is not None:
            counts = check_class_counts("class_counts", class_counts)
            if len(counts) != num_classes:
                raise ValueError(
                    f"`class_counts` must hold {num_classes} numbers, got {class_counts!r}."
                )
        _initializer(initializer)
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.penalty = penalty
        self.penalize_first = penalize_first
        self.proximal_rate = proximal_rate
        self.class_counts = class_counts
        self.initializer = initializer

    def build(self, input_shape):
        regularizer = constraint = None
        if self.penalty > 0 and self.proximal_rate is None:
            regularizer = _DifferencePenalty(self.penalty, self.penalize_first)
        elif self.penalty > 0:
            constraint = _SoftThreshold(self.penalty * self.proximal_rate, self.penalize_first)
        self.differences = self.add_weight(
            shape=(self.num_classes - 1, input_shape[-1]),
            initializer=_initializer(self.initializer),
            regularizer=regularizer,
            constraint=constraint,
            name="differences",
        )
        self.intercepts = self.add_weight(
            shape=(self.num_classes - 1,), initializer=self._first_intercepts, name="intercepts"
        )

    def call(self, inputs):
        kernel = ops.cumsum(ops.convert_to_tensor(self.differences), axis=0)
        logits = ops.matmul(inputs, ops.cast(ops.transpose(kernel), inputs.dtype))
        return logits + ops.cast(self.intercepts, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes - 1)

    def _first_intercepts(self, shape, dtype=None):
        counts = np.ones(self.num_classes) if self.class_counts is None else self.class_counts
        below = np.cumsum(np.asarray(counts, "float64"))
        logits = np.log(below[:-1]) - np.log(below[-1] - below[:-1])
        return ops.convert_to_tensor(logits, dtype=dtype)

    def get_config(self) -> dict:
        initializer = self.initializer
        if not isinstance(initializer, str):
            initializer = keras.initializers.serialize(_initializer(initializer))
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "penalty": self.penalty,
            "penalize_first": self.penalize_first,
            "proximal_rate": self.proximal_rate,
            "class_counts": self.class_counts,
            "initializer": initializer,
        }


def _initializer(value):
    try:
        found = keras.initializers.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`initializer` must be one of Keras, got {value!r}.") from error
    if found is None:
        raise ValueError(f"`initializer` must be one of Keras, got {value!r}.")
    return found


class _DifferencePenalty(keras.regularizers.Regularizer):
    def __init__(self, penalty: float, penalize_first: bool):
        self.penalty, self.penalize_first = penalty, penalize_first

    def __call__(self, differences):
        differences = ops.convert_to_tensor(differences)
        counted = differences if self.penalize_first else differences[1:]
        return self.penalty * ops.sum(ops.abs(counted))


class _SoftThreshold(keras.constraints.Constraint):
    def __init__(self, threshold: float, penalize_first: bool):
        self.threshold, self.penalize_first = threshold, penalize_first

    def __call__(self, differences):
        differences = ops.convert_to_tensor(differences)
        shrunk = ops.sign(differences) * ops.relu(ops.abs(differences) - self.threshold)
        if self.penalize_first:
            return shrunk
        return ops.concatenate([differences[:1], shrunk[1:]], axis=0)

"""Learn for each weight whether to round it up or down."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._affine_neighbors import affine_neighbors
from keras_compress.post_training._changed_problem import problem_gram
from keras_compress.post_training._soft_rounding import Annealing, learn_choices
from keras_compress.post_training.affine_ranges import CLIPS, affine_grid
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
)

# Rows of inputs in a step, where the activation is part of the loss.
_BATCH = 256


@keras.saving.register_keras_serializable(package="keras_compress")
class LearnedRounding(Solver):
    """Learn for each weight whether it is rounded up or down, by its layer's outputs (AdaRound).

    For 3 and 4 bits with a symmetric grid, and for convolutions; slower than `GPTQ`, of about the
    same quality. A weight between the levels `l` and `u` gets `l + h(v) (u - l)` with

        h(v) = limit(1.2 sigmoid(v) - 0.1, 0, 1),

    starting at the weight itself. Adam minimizes, over all calibration rows at once,

        |X (W - W(v))|^2 / |X (W - round(W))|^2 + regularization * mean(1 - |2h - 1|**beta)

    where `beta` falls from 20 to 2 after the first fifth of the steps, so that every `h` ends at
    0 or 1. If this is not better than rounding to the nearest, the nearest stay.

    Args:
        steps: Integer >= 1, of Adam. Defaults to `1000`.
        learning_rate: Float > 0. Defaults to `0.01`.
        regularization: Float >= 0; the division by the error of rounding makes one value suit all
            layers. Defaults to `100.0`.
        clip: `"min_max"` or `"mse"`, the range as in `RoundToNearest`. Defaults to `"min_max"`.
        asymmetric: Boolean, whether the goal is what the float model gives for its own inputs,
            `X0 W`, so that errors of the layers before are corrected. Defaults to `False`.
        activation: Boolean, whether outputs are compared after a ReLU where the layer has one, by
            at most 2048 rows of inputs. Defaults to `False`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `solve`, if the statistics are missing.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 16)) @ generator.normal(size=(16, 16))
    problem = kc.post_training.LayerProblem.from_inputs(generator.normal(size=(16, 8)), x, bits=3)
    nearest = kc.post_training.RoundToNearest().solve(problem)
    learned = kc.post_training.LearnedRounding(steps=300).solve(problem)
    assert problem.error(learned.values()) < problem.error(nearest.values())
    ```

    Reference:
        Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020,
        arXiv 2004.10568, equations 21 to 25; Yvinec et al., "Gradient-Based Post-Training
        Quantization: Challenging the Status Quo", arXiv 2308.07662 (what is worth choosing well:
        loss, degrees of freedom, variable and optimizer, rather than calibration data).

    Deviations:
        The error is divided by that of rounding to the nearest, and the regularizer is a mean, so
        its weight does not depend on the layer (the paper: the sum of both, weight 0.01). Every
        step sees all rows, through the Gram matrix, instead of a batch.

    Cost:
        `steps` products of the Gram matrix with the kernel; with `activation`, of 256 rows of
        inputs with the kernel, twice.
    """

    def __init__(
        self,
        steps: int = 1000,
        *,
        learning_rate: float = 0.01,
        regularization: float = 100.0,
        clip: str = "min_max",
        asymmetric: bool = False,
        activation: bool = False,
    ):
        check_integer("steps", steps, minimum=1)
        check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
        check_number("regularization", regularization, minimum=0.0)
        check_choice("clip", clip, CLIPS)
        check_boolean("asymmetric", asymmetric)
        check_boolean("activation", activation)
        self.steps = steps
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.clip = clip
        self.asymmetric = asymmetric
        self.activation = activation

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The statistics to collect."""
        found = {"gram"}
        if self.asymmetric:
            found.add("cross")
        if self.activation:
            found |= {"inputs", "outputs"}
        return frozenset(found)

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        grid = affine_grid(
            problem.weight,
            problem.bits,
            group_size=problem.group_size,
            symmetric=problem.symmetric,
            clip=self.clip,
        )
        nearest = grid.encode(problem.weight)
        neighbors = affine_neighbors(grid, problem.weight)
        kind = _ReluLoss if self.activation and _has_relu(problem) else _OutputLoss
        loss: Any = kind(problem, self.asymmetric)
        error = loss.value(grid.decode(nearest))
        unit = loss.value(grid.decode(nearest), plain=True) or 1.0
        choice = learn_choices(
            neighbors.share,
            lambda soft: loss.slope(neighbors.lower + soft * neighbors.gap) / unit,
            neighbors.gap,
            Annealing(self.steps, self.learning_rate, self.regularization),
        )
        codes = np.where(choice >= 0.5, neighbors.upper_codes, neighbors.lower_codes)
        codes = codes.astype("uint8")
        if loss.value(grid.decode(codes)) >= error:
            codes = nearest
        return problem.stored(codes, grid)

    def get_config(self) -> dict:
        return {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "regularization": self.regularization,
            "clip": self.clip,
            "asymmetric": self.asymmetric,
            "activation": self.activation,
        }


class _OutputLoss:
    """`|X0 W - X Q|^2 / n` up to a constant, from the Gram matrix."""

    def __init__(self, problem, asymmetric):
        self.weight, self.gram = problem.weight, problem_gram(problem)
        self.pull = problem.required("cross").T @ self.weight if asymmetric else 0.0
        self.small = [np.asarray(a, "float32") for a in (self.weight, self.gram, self.pull)]

    def value(self, values, plain=False):
        away = values - self.weight
        quadratic = 0.5 * np.vdot(away, self.gram @ away)
        return quadratic if plain else quadratic - np.sum(away * self.pull)

    def slope(self, values):
        weight, gram, pull = self.small
        return gram @ (values.astype("float32") - weight) - pull


class _ReluLoss:
    """The same after bias and ReLU, from rows of inputs, a batch a step."""

    def __init__(self, problem, asymmetric):
        self.inputs = np.asarray(problem.required("inputs"), "float32")
        bias = getattr(problem.layer, "bias", None)
        self.bias = np.zeros(problem.outputs, "float32")
        if bias is not None:
            bias = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(bias))
            self.bias = bias.astype("float32").reshape(-1)
        own = self.inputs @ problem.weight.astype("float32")
        self.own = np.maximum(own + self.bias, 0.0)
        targets = problem.required("targets") if asymmetric else own
        self.goal = np.maximum(np.asarray(targets, "float32") + self.bias, 0.0)
        self.position = 0

    def value(self, values, plain=False):
        found = np.maximum(self.inputs @ values.astype("float32") + self.bias, 0.0)
        goal = self.own if plain else self.goal
        return float(np.square(found - goal).sum(dtype="float64")) / len(self.inputs)

    def slope(self, values):
        rows = np.arange(self.position, self.position + _BATCH) % len(self.inputs)
        self.position = (self.position + _BATCH) % len(self.inputs)
        inputs = self.inputs[rows]
        before = inputs @ values.astype("float32") + self.bias
        away = np.where(before > 0.0, before - self.goal[rows], 0.0)
        return (2.0 / len(rows)) * inputs.T @ away


def _has_relu(problem):
    layer = problem.layer
    bias = getattr(layer, "bias", None)
    # A part of a kernel with groups does not say which part of the bias is its own.
    fits = bias is None or int(np.prod(bias.shape)) == problem.outputs
    return fits and getattr(layer, "activation", None) is keras.activations.relu

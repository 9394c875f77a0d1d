"""How much worse a loss gets when one kernel is moved in the worst direction."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.gradients import value_and_grad
from keras_reweight.core.validation import check_built, check_integer, check_number
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import assign_all, read_variable
from keras_reweight.signatures.weight_selection import own_weights, select_weights, weight_owners


def module_criticality(
    model: keras.Model,
    data: Any,
    *,
    layers: Any = None,
    epsilon: float = 0.1,
    rounds: int = 10,
    learning_rate: float = 1.0,
    loss: Any = None,
    batch_size: int = 512,
) -> dict[str, float]:
    """Module robust criticality: the loss that each kernel alone can cost, by its path.

    For the kernel `W` of each chosen layer,

    `max over |dW| <= epsilon |W| of L(W + dW) - L(W)`   (Frobenius norms),

    on adversarial examples made once from the unperturbed model, or on any other labeled data. The
    kernel with the smallest value has capacity to spare: fine-tuning it alone costs the least
    robustness, which is what `rift` does; the ranking also says which layers pruning and
    quantization should leave alone. The maximum is looked for by gradient ascent (plain SGD over
    the batches of `data`), with a projection onto the ball after each of the `rounds`; the value is
    the best of the rounds, so it is a lower bound, and at least 0.

    Args:
        model: A built `keras.Model`.
        data: `(x, y)` of arrays of shape `(samples, ...)` and any numeric dtype, or batches as
            `fit` takes them; kept in memory.
        layers: Layer names, a `re.Pattern`, a predicate, layers or a list of these. Defaults to
            `None`: all layers with a kernel (a weight of two axes or more), embeddings left out.
        epsilon: Float > 0, radius of the ball by the norm of the kernel. Defaults to `0.1`.
        rounds: Integer >= 1, passes over `data`. Defaults to `10`.
        learning_rate: Float > 0 of the ascent. Defaults to `1.0`.
        loss: As for `compile`. Defaults to `None`, the compiled loss.
        batch_size: Integer >= 1, where `data` is not in batches yet. Defaults to `512`.

    Returns:
        Dict from the path of a kernel, as patches name it, to a float, in the order of the model.

    Raises:
        TypeError: If `model` is no model, `data` cannot be iterated or an argument is of another
            kind.
        ValueError: If `model` is not built or has no loss, `data` holds no labels, a number is out
            of its range, or `layers` selects no kernel.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    criticality = kr.editing.module_criticality(model, (x, y), rounds=2, loss=loss)
    assert list(criticality) == ["hidden/kernel", "head/kernel"]
    ```

    Reference:
        Zhu et al., "Improving Generalization of Adversarial Training via Robust Critical
        Fine-Tuning", ICCV 2023, arXiv 2308.02533, definition 1; microsoft/robustlearn, RiFT.

    Deviations:
        The official code takes adversarial examples of the test set and shuffles the batches; here
        the data are yours and keep their order. Its maximum leaves out the unperturbed kernel.

    Cost:
        For each kernel `2 * rounds` forward and backward passes over `data`. The model is left bit
        for bit as it was.
    """
    check_built(model, "module_criticality")
    check_number("epsilon", epsilon, exclusive_minimum=0.0)
    check_integer("rounds", rounds, minimum=1)
    check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
    batches = list(iterate_batches(data, batch_size))
    if any(y is None for _, y, _ in batches):
        raise ValueError("`data` must be (x, y) or batches of these, got no labels.")
    kernels = _kernels(model, layers)
    ascent = _Ascent(model, list(kernels.values()), batches, loss)
    base = ascent.mean_loss()
    return {
        path: max(0.0, ascent.worst_loss(number, epsilon, rounds, learning_rate) - base)
        for number, path in enumerate(kernels)
    }


def _kernels(model, layers):
    tables = {
        id(variable)
        for owner in weight_owners(model)
        if isinstance(owner, keras.layers.Embedding)
        for variable in own_weights(owner)
    }
    architecture, found = Architecture.of(model), {}
    for index in select_weights(model, layers, "skip").indices:
        variable = model.weights[index]
        if len(variable.shape) >= 2 and id(variable) not in tables:
            found[architecture[index].path] = variable
    if not found:
        raise ValueError(f"`layers`={layers!r} selects no layer of {model.name!r} with a kernel.")
    return found


class _Ascent:
    """One compiled gradient for all kernels, of which each ascent uses one."""

    def __init__(self, model, kernels, batches, loss):
        self.kernels = kernels
        self.sizes = [batch_length(x) for x, _, _ in batches]
        self._batches = batches
        self._call = lambda x, y, weight: value_and_grad(
            model, x, y, sample_weight=weight, loss=loss, variables=kernels
        )

    def mean_loss(self):
        values = [float(self._call(*batch)[0]) for batch in self._batches]
        return float(np.average(values, weights=self.sizes))

    def worst_loss(self, number, epsilon, rounds, learning_rate):
        kernel = self.kernels[number]
        original = read_variable(kernel)
        start = original.astype(np.float64)
        radius, moved, worst = epsilon * np.linalg.norm(start), start, -np.inf
        try:
            for _ in range(rounds):
                for batch in self._batches:
                    gradient = ops.convert_to_numpy(self._call(*batch)[1][number])
                    moved = moved + learning_rate * gradient.astype(np.float64)
                    kernel.assign(moved.astype(original.dtype))
                moved = start + _inside(moved - start, radius)
                kernel.assign(moved.astype(original.dtype))
                worst = max(worst, self.mean_loss())
        finally:
            assign_all([(kernel, original)])
        return worst


def _inside(offset, radius):
    size = np.linalg.norm(offset)
    return offset * (radius / size) if size > radius else offset

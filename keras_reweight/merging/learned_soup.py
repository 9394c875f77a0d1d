"""An average whose weights are learned on held-out data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.gradients.scaled import make_scaled_gradient
from keras_reweight.core.validation import (
    check_boolean,
    check_built,
    check_integer,
    check_number,
)
from keras_reweight.merging._merge import as_float64
from keras_reweight.merging._sources import opened
from keras_reweight.merging._trial import Trial
from keras_reweight.merging.soup import Soup
from keras_reweight.signatures.weight_selection import select_weights


def learned_soup(
    model: keras.Model,
    ingredients: Sequence[Any],
    *,
    data: Any,
    loss: Any = None,
    epochs: int = 5,
    learning_rate: float = 0.05,
    batch_size: int = 128,
    scale_outputs: bool = True,
    name: str = "learned_soup",
) -> Soup:
    """Average models with coefficients that are trained on held-out data.

    Each weight tensor of the soup is a mean of those of the models, with coefficients of its own:
    the softmax of one number for each model, equal at first. Adam trains these numbers, and one
    factor for all outputs of the model, on the loss of held-out data; the models do not change. A
    few hundred samples are enough, and the mean stays inside of what the models span, so there is
    little to overfit. For a handful of models from one start that do not all fit. Moving
    statistics of batch normalization are mixed like weights; estimate them anew afterwards with
    `kr.signatures.reestimate_batch_norm`.

    Args:
        model: A built `keras.Model`; the soups are tried in it, and it is left as it was.
        ingredients: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files.
        data: Held-out samples `(x, y)` or `(x, y, sample_weight)`: arrays, `PyDataset`, `tf.data`,
            `DataLoader` or a list of batches, in a fixed order.
        loss: Loss name, function, `keras.losses.Loss`, or one per output; `None` for the compiled
            one. Defaults to `None`.
        epochs: Integer >= 1, passes over the data. Defaults to `5`.
        learning_rate: Float > 0. Defaults to `0.05`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `128`.
        scale_outputs: Boolean, whether a factor of the outputs is learned beside the coefficients,
            so that these need not care for the size of the logits. It is not part of the soup.
            Turn it off if outputs are no logits. Defaults to `True`.
        name: String, name of the patch. Defaults to `"learned_soup"`.

    Returns:
        A `Soup`, the `Patch` from the weights of `model` to the mean. `soup.coefficients` has the
        coefficients by path, `soup.output_scale` the factor, `soup.losses` the loss of each epoch.

    Raises:
        TypeError: If `model` is not a model, `ingredients` or `data` something else, or a number is
            none.
        ValueError: If `model` is not built or has no loss, `ingredients` is empty or of another
            architecture, `data` has no labels or is used up by one pass, the loss becomes NaN, or
            a number is out of its range.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    kernel, ingredients = model.layers[0].kernel, []
    for value in ([[1.0], [0.0]], [[0.9], [1.0]]):
        kernel.assign(value)
        ingredients.append(kr.WeightSnapshot(model))
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    y = x[:, :1] + 0.8 * x[:, 1:]
    soup = kr.merging.learned_soup(model, ingredients, data=(x, y), loss="mse", batch_size=16)
    assert soup.coefficients[soup.paths[0]][1] > 0.5
    ```

    Reference:
        Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
        accuracy without increasing inference time", ICML 2022, arXiv 2203.05482, appendix I;
        mlfoundations/model-soups.

    Deviations:
        Adam without weight decay is what the official AdamW with decay 0 is. Moving statistics are
        mixed like weights.

    Cost:
        A step is a forward and a backward pass, and reads every ingredient once: keep them in
        memory if you can. Gradients come on top of the model and a copy of its weights.
    """
    check_built(model, "learned_soup")
    check_integer("epochs", epochs, minimum=1)
    check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
    check_integer("batch_size", batch_size, minimum=1)
    check_boolean("scale_outputs", scale_outputs)
    if epochs > 1 and hasattr(data, "__next__"):
        raise ValueError(f"`data` is used up by one pass, but `epochs`={epochs}: got {data!r}.")
    batches = iterate_batches(data, batch_size)
    indices = select_weights(model, None, "statistics").indices
    trial = Trial(model, indices)
    factor = keras.Variable(1.0, dtype="float32", name="output_scale")
    variables = [model.weights[index] for index in indices]
    gradient = make_scaled_gradient(model, variables, factor, loss)
    with opened(model, ingredients, indices, argument="ingredients", base=trial.base) as readers:
        mixer = _Mixer(len(indices), len(readers), learning_rate)
        losses = []
        with trial:
            trial.put_mean(readers)
            for epoch in range(epochs):
                seen = []
                for x, y, sample_weight in (
                    batches if epoch == 0 else iterate_batches(data, batch_size)
                ):
                    value, found = gradient(x, y, sample_weight)
                    seen.append(_finite(value))
                    mixer.start_step()
                    if scale_outputs:
                        factor.assign(mixer.scaled(ops.convert_to_numpy(found[-1])))
                    for place, index in enumerate(indices):
                        arrays = [as_float64(read(index)) for read in readers]
                        slope = as_float64(ops.convert_to_numpy(found[place]))
                        mixer.step(place, [float(np.vdot(slope, array)) for array in arrays])
                        trial.write(index, mixer.mix(place, arrays))
                if not seen:
                    raise ValueError("`data` holds no batches.")
                losses.append(float(np.mean(seen)))
            entries = {
                index: trial.write(
                    index, mixer.mix(place, [as_float64(read(index)) for read in readers])
                )
                for place, index in enumerate(indices)
            }
    soup = trial.soup(entries, name, "learned_soup")
    soup.ingredients = tuple(range(len(ingredients)))
    soup.coefficients = {
        trial.architecture[index].path: mixer.coefficients(place)
        for place, index in enumerate(indices)
    }
    soup.output_scale, soup.losses = float(mixer.factor[0]), tuple(losses)
    return soup


class _Mixer:
    """The numbers behind the coefficients, and the Adam that trains them."""

    def __init__(self, num_weights, num_models, rate):
        self._logits = np.zeros((num_weights, num_models))
        self.factor = np.ones(1)
        self._adam = _Adam(rate)

    def coefficients(self, place):
        shifted = np.exp(self._logits[place] - self._logits[place].max())
        return shifted / shifted.sum()

    def start_step(self):
        self._adam.time += 1

    def step(self, place, products):
        """`products`: of the gradient of a weight and the weight of each model."""
        share, products = self.coefficients(place), np.asarray(products)
        self._adam.update(place, self._logits[place], share * (products - share @ products))

    def scaled(self, slope):
        self._adam.update("factor", self.factor, np.reshape(slope, (1,)).astype(np.float64))
        return np.float32(self.factor[0])

    def mix(self, place, arrays):
        share = self.coefficients(place)
        # A product of an array without axes is no array.
        total = np.asarray(share[0] * arrays[0])
        for part, array in zip(share[1:], arrays[1:], strict=True):
            total += part * array
        return total


class _Adam:
    def __init__(self, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.time = 0
        self._rate, self._betas, self._epsilon = rate, (beta_1, beta_2), epsilon
        self._moments: dict[Any, tuple[Any, Any]] = {}

    def update(self, key, values, slopes):
        """Move `values` in place."""
        (first, second), (beta_1, beta_2) = self._moments.get(key, (0.0, 0.0)), self._betas
        first = beta_1 * first + (1.0 - beta_1) * slopes
        second = beta_2 * second + (1.0 - beta_2) * slopes**2
        self._moments[key] = (first, second)
        mean = first / (1.0 - beta_1**self.time)
        spread = np.sqrt(second / (1.0 - beta_2**self.time))
        values -= self._rate * mean / (spread + self._epsilon)


def _finite(value):
    number = float(ops.convert_to_numpy(value))
    if not np.isfinite(number):
        raise ValueError(f"the loss on `data` is {number}: is one of the models broken?")
    return number

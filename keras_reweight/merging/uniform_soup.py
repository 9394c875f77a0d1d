"""The plain average of several models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.merging._merge import Weight, merge
from keras_reweight.merging.soup import Soup


def uniform_soup(
    model: keras.Model,
    ingredients: Sequence[Any],
    *,
    layers: Any = None,
    name: str = "uniform_soup",
) -> Soup:
    """Average the weights of several fine-tuned models.

    For models that were fine-tuned from one start, or for the last epochs of one training
    (`SoupCollector`): one model, as fast as each of them, and often better. One bad ingredient can
    spoil the average; where there are held-out data, `greedy_soup` tastes first. Models of
    different starts lie in different basins: that is warned of, match them first. All
    floating-point weights are averaged, moving statistics of batch normalization too; estimate
    those anew on training data with `kr.signatures.reestimate_batch_norm`.

    Args:
        model: A built `keras.Model`, what the soup is to be put on. It is left as it is.
        ingredients: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files (their tensors named by the paths of the weights).
        layers: Layers to average, by name, `re.Pattern`, predicate or object; `None` for all.
            Others stay those of `model`. Defaults to `None`.
        name: String, name of the patch. Defaults to `"uniform_soup"`.

    Returns:
        A `Soup`, the `Patch` from the weights of `model` to the average.

    Raises:
        TypeError: If `model` is not a model, or `ingredients` holds something else.
        ValueError: If `model` is not built, `ingredients` is empty or of another architecture, a
            file is damaged, a weight is not finite, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    snapshots = []
    for _ in range(3):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        snapshots.append(kr.WeightSnapshot(model))
    with kr.merging.uniform_soup(model, snapshots).patched(model):
        mean = keras.ops.convert_to_numpy(model.layers[0].kernel)
    np.testing.assert_allclose(mean, np.mean([s.arrays[0] for s in snapshots], axis=0), rtol=1e-5)
    ```

    Reference:
        Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
        accuracy without increasing inference time", ICML 2022, arXiv 2203.05482, table 2;
        mlfoundations/model-soups.

    Cost:
        Reads every ingredient once, weight by weight: besides the soup, the largest weight is in
        memory a few times.
    """

    def average(weight: Weight) -> np.ndarray:
        total = np.zeros_like(weight.base)
        for value in weight.values():
            total += value
        return total / len(ingredients) - weight.base

    soup = merge(
        model,
        ingredients,
        average,
        argument="ingredients",
        name=name,
        kind="uniform_soup",
        layers=layers,
        statistics=True,
        from_base=False,
        patch_type=Soup,
        codec="float32",
    )
    soup.ingredients = tuple(range(len(ingredients)))
    return soup

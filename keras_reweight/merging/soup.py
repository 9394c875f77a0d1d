"""A soup of models, as a patch."""

from __future__ import annotations

import numpy as np

from keras_reweight.signatures.patch import Patch


class Soup(Patch):
    """The change that turns the weights of a model into an average of the weights of several.

    What `uniform_soup`, `greedy_soup` and `learned_soup` return. Put it on the model it was made
    for: `with soup.patched(model): ...`, or for good with `SignaturePatcher(model).apply(soup)`;
    an `alpha` between 0 and 1 stops on the way. Changes are stored in float32, so a soup takes as
    much memory as the weights. What the attributes below say is not saved.

    Args:
        architecture: As for `Patch`; call one of the functions, or `load`.
        entries: As for `Patch`.
        name: As for `Patch`.
        kind: `"uniform_soup"`, `"greedy_soup"`, `"learned_soup"` or `"composition"`.
        coefficient: As for `Patch`. Defaults to `1.0`.
        sources: As for `Patch`.

    Returns:
        A `Patch` with the attributes `ingredients`, positions of the models in it, in the order in
        which they came in; `scores`, what each model scores alone, and `score`, what the soup does
        (`greedy_soup`); `coefficients`, a dict from path to float64 array of shape `(models,)`, and
        `output_scale` (`learned_soup`); `losses`, the mean of each epoch (`learned_soup`).

    Raises:
        ValueError: If `entries` is empty, an array does not fit `architecture`, `name` is empty,
            `kind` unknown or `coefficient` not finite; from `load`, if the file is damaged or holds
            another kind of patch.
        TypeError: If `name` is not a string or `coefficient` not a number.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    first = kr.WeightSnapshot(model)
    model.layers[0].kernel.assign_add([[0.1], [0.0]])
    soup = kr.merging.uniform_soup(model, [first, model])
    assert isinstance(soup, kr.merging.Soup) and soup.ingredients == (0, 1)
    ```

    Reference:
        Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
        accuracy without increasing inference time", ICML 2022, arXiv 2203.05482.
    """

    _kinds = ("uniform_soup", "greedy_soup", "learned_soup", "composition")

    ingredients: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    score: float | None = None
    coefficients: dict[str, np.ndarray] = {}
    output_scale: float = 1.0
    losses: tuple[float, ...] = ()

"""Unlearning with LoRA that starts where the forgotten lives."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.editing._lora import check_lora, freeze_the_rest, lora_layers, matrix_of
from keras_reweight.editing.importance_lora_init import importance_lora_init
from keras_reweight.editing.lora_importance import KINDS, lora_importance


def vila_lora(
    model: keras.Model,
    forget: Any,
    retain: Any,
    *,
    rank: int = 8,
    alpha: float | None = None,
    importance: str = "vila",
    layers: Any = None,
    loss: Any = None,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Prepare a model for unlearning: LoRA on the weights that what is to be forgotten needs.

    Measures `lora_importance` of both sets, starts LoRA on every chosen layer by
    `importance_lora_init`, and freezes all else. The model computes what it did before; now compile
    it with an unlearning loss (`keras_reweight.callbacks.Unlearn`, or any other) and fit. Few
    weights are trained, and the right ones, so that less of the rest is harmed. Then `lora_patch`
    makes a `Patch` of the result, which comes off again, or goes onto the model in production.

    Not for models that have to forget all there is of a kind of input: there are no weights for it
    alone then, and the whole model has to change.

    Args:
        model: A built `keras.Model`; it is changed.
        forget: Tuple `(x, y)` of float or integer arrays of shape `(num_samples, ...)`, or another
            data set: what is to be forgotten.
        retain: The same for what is to stay; a sample of it will do.
        rank: Integer >= 1, of LoRA, smaller where a kernel is. Defaults to `8`.
        alpha: Float > 0, updates are scaled by `alpha / rank`; `None` takes the rank. Defaults to
            `None`.
        importance: `"vila"` or `"fila"`, see `lora_importance`. Defaults to `"vila"`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all layers with a kernel for which Keras has LoRA. Defaults to `None`.
        loss: Loss name, function or `keras.losses.Loss`. Defaults to `None`, the compiled loss.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.

    Returns:
        Dict from the path of each layer with LoRA to a float64 array of shape `(outputs,)`: the
        importance of its outputs for what is to be forgotten, with mean one.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range, data are empty, a layer is unknown or none
            can have LoRA, or nothing in `forget` depends on a layer. The model is left as it is
            then.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = kr.WeightSnapshot(model)
    kr.editing.vila_lora(model, (x[:32], y[:32]), (x[32:], y[32:]), rank=2, batch_size=8)
    assert len(model.trainable_variables) == 4
    model.compile("sgd", lambda y_true, y_pred: -keras.ops.mean(y_pred))  # an unlearning loss
    model.fit(x[:32], y[:32], verbose=0)
    patch = kr.editing.lora_patch(model, before, name="forget")
    ```

    Reference:
        Kim et al., "Improving Fisher Information Estimation and Efficiency for LoRA-based LLM
        Unlearning", COLM 2025, arXiv 2508.21300; github.com/kyj93790/VILA.

    Deviations:
        Those of `lora_importance` and `importance_lora_init`. The rank of a layer is the smaller
        side of its kernel where that is less than `rank`.

    Cost:
        A forward and backward pass of both sets, and the singular values of the kernels.
    """
    check_built(model, "vila_lora")
    check_choice("importance", importance, KINDS)
    check_lora(rank, alpha)
    check_integer("batch_size", batch_size, minimum=1)
    for name, data in (("forget", forget), ("retain", retain)):
        iterate_batches(data, batch_size, argument=name)
    chosen = lora_layers(model, layers)
    options = {
        "kind": importance, "rank": rank, "layers": list(chosen.values()), "loss": loss,
        "batch_size": batch_size,
    }  # fmt: skip
    found = [lora_importance(model, data, **options) for data in (forget, retain)]
    empty = [path for path in chosen if not found[0][path].any()]
    if empty:
        raise ValueError(f"`forget`: nothing in it depends on the layers {empty}; leave them out.")
    rho = {}
    for path, layer in chosen.items():
        own = min(rank, *matrix_of(layer).shape)
        rho[path] = importance_lora_init(
            layer,
            found[0][path],
            found[1][path],
            rank=own,
            alpha=None if alpha is None else alpha * own / rank,
        )
    freeze_the_rest(model)
    return rho

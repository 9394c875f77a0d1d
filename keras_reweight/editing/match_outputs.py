"""Training a model towards given outputs, as a patch."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.layer_calls import gives_probabilities
from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.signatures.live_weights import (
    assign_all,
    read_variable,
    read_weights,
    write_weights,
)
from keras_reweight.signatures.patch import Patch


def match_outputs(
    model: keras.Model,
    x: Any,
    *,
    targets: Any,
    steps: int = 200,
    batch_size: int = 32,
    optimizer: Any = None,
    loss: str = "mse",
    seed: int = 0,
    name: str = "matched",
) -> Patch:
    """Datamodel matching: train a model for a few steps until it says what it is told to say.

    The second half of forgetting by attribution: `targets` are what a model trained without the
    data to forget would say, as `kr.scores.predict_removal` or `datamodel_targets` predict it, on
    the points to forget and on a sample of those to retain. With outputs of a model that was really
    trained again they are the best one can have. It serves distillation and any other correction
    of outputs, too.

    The model is trained as it is used for inference, so that dropout does not disturb and batch
    normalization keeps its statistics, and is then put back bit for bit: the change is the patch.
    Frozen layers stay frozen, regularizers act. Retained points must be among `x`, or the model
    forgets them as well.

    Args:
        model: A built `keras.Model` with one output; logits are the better ones to match.
        x: Float or integer array of shape `(num_points, ...)`, or a nested structure of such.
        targets: Float array of shape `(num_points, ...)`, outputs of the model to aim for.
        steps: Integer >= 1, optimizer steps. Defaults to `200`.
        batch_size: Integer >= 1; points are drawn without replacement. Defaults to `32`.
        optimizer: `keras.optimizers.Optimizer` (a copy is used), or `None` for Adam with a rate of
            1e-3. Defaults to `None`.
        loss: `"mse"`, the squared difference, or `"kl"`, the divergence of the softmax of the
            outputs from that of the targets, for logits. Defaults to `"mse"`.
        seed: Integer >= 0, order of the points. Defaults to `0`.
        name: String, name of the patch. Defaults to `"matched"`.

    Returns:
        A `Patch` of kind `"output_matching"` of the trainable weights.

    Raises:
        TypeError: If `model`, `targets` or `optimizer` is of another type, or an integer is none.
        ValueError: If the model is not built or has no trainable weights, `x` and `targets` do not
            fit each other, targets are not finite, a number is out of its range, `loss` is unknown,
            or the training diverges.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    targets = kr.scores.predict_removal(model, (x, y), forget=(x[:2], y[:2]), x=x)
    patch = kr.editing.match_outputs(model, x, targets=targets, steps=3, batch_size=4)
    ```

    Reference:
        Georgiev et al., "Attribute-to-Delete: Machine Unlearning via Datamodel Matching", arXiv
        2410.23232, section 4 (oracle matching, datamodel matching).

    Cost:
        `steps` training steps, a compilation for each model, loss and optimizer, and host memory of
        two copies of the weights and one of the points.
    """
    check_built(model, "match_outputs")
    for argument, value in (("steps", steps), ("batch_size", batch_size)):
        check_integer(argument, value, minimum=1)
    check_integer("seed", seed, minimum=0)
    check_choice("loss", loss, ["mse", "kl"])
    if not isinstance(name, str) or not name:
        raise ValueError(f"`name` must be a string with content, got {name!r}.")
    if not (optimizer is None or isinstance(optimizer, keras.optimizers.Optimizer)):
        raise TypeError(f"`optimizer` must be a keras.optimizers.Optimizer, got {optimizer!r}.")
    if loss == "kl" and gives_probabilities(model):
        raise ValueError(
            f"`loss`='kl' is for logits, but model {model.name!r} gives probabilities."
        )
    if not model.trainable_variables:
        raise ValueError(f"`model` {model.name!r} has no trainable weights.")
    x, targets = _checked(x, targets)
    batch_size = min(batch_size, len(targets))
    order = _order(len(targets), steps, batch_size, seed)
    a_pass = -(-len(targets) // batch_size)
    position = {id(variable): index for index, variable in enumerate(model.weights)}
    trained = [position[id(variable)] for variable in model.trainable_variables]
    before = read_weights(model)
    try:
        student, start = _student(model, loss, optimizer)
        assign_all(list(zip(student.optimizer.variables, start, strict=True)))
        # Pass by pass, so that no more than a copy of the data is made.
        for begin in range(0, steps, a_pass):
            rows = order[begin : begin + a_pass].ravel()
            part = tree.map_structure(lambda leaf, rows=rows: leaf[rows], x)
            student.fit(part, targets[rows], batch_size=batch_size, shuffle=False, verbose=0)
        after = read_weights(model, trained)
    finally:
        write_weights(model, before)
    deltas = []
    for index, array in after.items():
        delta = array.astype("float64") - before[index].astype("float64")
        if not np.isfinite(delta).all():
            raise ValueError(
                f"`optimizer`={optimizer!r}: the training diverged. Use a lower learning rate."
            )
        deltas.append((model.weights[index], delta))
    return Patch.from_deltas(model, deltas, name=name, kind="output_matching")


class _Inference(keras.Model):
    """A model that runs in inference mode while it is trained."""

    def __init__(self, model: keras.Model):
        # The class name in snake case begins with an underscore, which TensorFlow refuses.
        super().__init__(name="matching")
        self.inner = model

    def call(self, inputs):
        return self.inner(inputs, training=False)


def _order(count, steps, batch_size, seed):
    """Row numbers of every batch; each pass over the points is a new permutation."""
    rng = np.random.default_rng(seed)
    passes = -(-steps * batch_size // count)
    numbers = np.concatenate([rng.permutation(count) for _ in range(passes)])
    return numbers[: steps * batch_size].reshape(steps, batch_size)


def _checked(x, targets):
    targets = _as_numpy(targets)
    if targets.dtype.kind not in "fiu":
        raise TypeError(f"`targets` must be an array of numbers, got {targets!r:.80}.")
    if not targets.size or not np.isfinite(targets).all():
        raise ValueError(f"`targets` must be finite numbers, got {targets!r:.80}.")
    x = tree.map_structure(_as_numpy, x)
    lengths = {len(leaf) if leaf.ndim else 0 for leaf in tree.flatten(x)}
    if lengths != {len(targets)}:
        raise ValueError(
            f"`x` must hold as many points as `targets`, {len(targets)}, got {sorted(lengths)}."
        )
    return x, targets.astype("float32")


def _as_numpy(leaf):
    return ops.convert_to_numpy(leaf) if ops.is_tensor(leaf) else np.asarray(leaf)


def _student(model, loss, optimizer):
    """What is trained, compiled once for a model, and the variables of its optimizer at first."""
    optimizer = keras.optimizers.Adam(1e-3) if optimizer is None else optimizer
    config = keras.saving.serialize_keras_object(optimizer)

    def build():
        student = _Inference(model)
        student.compile(
            keras.saving.deserialize_keras_object(config),
            keras.losses.MeanSquaredError() if loss == "mse" else _divergence,
        )
        student.optimizer.build(student.trainable_variables)
        return student, [read_variable(variable) for variable in student.optimizer.variables]

    key = ("match_outputs", loss, json.dumps(config, sort_keys=True, default=repr))
    return cached(model, key, None, build)


def _divergence(targets, outputs):
    wanted = ops.log_softmax(targets, axis=-1)
    return ops.sum(ops.exp(wanted) * (wanted - ops.log_softmax(outputs, axis=-1)), axis=-1)

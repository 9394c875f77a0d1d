"""Several trained models as one, with learned weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward
from keras_reweight.core.validation import check_boolean, check_built, check_integer

# Smallest probability that is divided by, and smallest weight.
_SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class LearnableEnsemble(keras.Model):
    """A mean of the predictions of trained models, with weights that are learned on data.

    Use it where models of several kinds are trained already and some are better than others: the
    outputs of the members of a family (copies of one architecture) are averaged, `p_f`, and the
    families are mixed with weights on the simplex, `sum_f softmax(w)_f p_f`. It starts as the plain
    mean. Compile and fit it on data the members were not trained on; only `w`, one number a family,
    is trained and the members run in inference mode. Or find the best weights for the
    log-likelihood at once with `maximize_likelihood(data)`.

    Not for models whose weights could be averaged (one start, one architecture): a soup costs one
    forward pass instead of one for each member.

    Args:
        models: List of built `keras.Model` of one input and output shape.
        families: List of strings, the family of each member, or `None` for families of one, called
            by the names of the models. Defaults to `None`.
        from_logits: Boolean, whether the members give logits, which are turned into probabilities
            first (softmax, or sigmoid for outputs of size 1). Otherwise outputs are mixed as they
            are. Defaults to `False`.
        train_members: Boolean, whether the members are trained as well. Defaults to `False`.
        **kwargs: `name`, `trainable` and `dtype` of `keras.Model`.

    Returns:
        Called as one of the models: float tensor of the shape of their outputs. `family_weights()`
        gives a dict from family to float, which sum to one.

    Raises:
        TypeError: If `models` is no list of models, `families` no list of strings, or an option no
            boolean.
        ValueError: If `models` is empty, not built or of different output shapes, or `families` has
            another length; from `maximize_likelihood`, if labels or outputs are no class labels and
            probabilities.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 3
    members = [
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
        for _ in range(3)
    ]
    ensemble = kr.layers.LearnableEnsemble(members, families=["small", "small", "large"])
    ensemble.compile("adam", "sparse_categorical_crossentropy")
    ensemble.fit(x, y, verbose=0)
    assert abs(sum(ensemble.family_weights().values()) - 1.0) < 1e-6
    ```

    Reference:
        Salman et al., "AWARE-NET: Adaptive Weighted Averaging for Robust Ensemble Network in
        Deepfake Detection", 2025, arXiv 2505.00312, section on the two-tier ensemble.

    Deviations:
        The paper has three families of three and trains members and weights together, with a
        sigmoid and the binary cross-entropy; that is `train_members=True`. Frozen members and
        `maximize_likelihood` are ours.

    Cost:
        One forward pass of each member.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        *,
        families: Sequence[str] | None = None,
        from_logits: bool = False,
        train_members: bool = False,
        **kwargs: Any,
    ):
        _check_models(models)
        _check_families(families, len(models))
        check_boolean("from_logits", from_logits)
        check_boolean("train_members", train_members)
        super().__init__(**kwargs)
        self.models = models
        self.families = families
        self.from_logits = from_logits
        self.train_members = train_members
        self.family_logits: Any = None

    def build(self, input_shape):
        if self.family_logits is None:
            self.family_logits = self.add_weight(
                shape=(len(self._names()),), initializer="zeros", name="family_logits"
            )
        self.built = True

    def call(self, inputs, training=None):
        outputs = self.family_outputs(inputs, training=training)
        weights = ops.cast(ops.softmax(self.family_logits), outputs.dtype)
        return ops.tensordot(weights, outputs, axes=1)

    def family_outputs(self, inputs: Any, training: bool | None = None) -> Any:
        """Mean output of each family, float tensor of shape `(families, batch, ...)`."""
        by_family: dict[str, list] = {name: [] for name in self._names()}
        for name, member in zip(self._family_of_members(), self.models, strict=True):
            by_family[name].append(self._member_output(member, inputs, training))
        return ops.stack([sum(found) / len(found) for found in by_family.values()])

    def _member_output(self, member, inputs, training):
        output = member(inputs, training=bool(training) and self.train_members)
        if not self.train_members:
            output = ops.stop_gradient(output)
        if not self.from_logits:
            return output
        return ops.sigmoid(output) if output.shape[-1] == 1 else ops.softmax(output)

    def family_weights(self) -> dict[str, float]:
        """Family -> its present weight; equal before the first call."""
        names = self._names()
        if self.family_logits is None:
            return dict.fromkeys(names, 1.0 / len(names))
        weights = ops.convert_to_numpy(ops.softmax(self.family_logits))
        return dict(zip(names, weights.tolist(), strict=True))

    def maximize_likelihood(
        self, data: Any, *, rounds: int = 200, batch_size: int = 128
    ) -> dict[str, float]:
        """Set the weights to those under which the labels are most likely, and return them.

        Each of the `rounds` of expectation maximization, which start from the present weights,
        raises the likelihood (which has one maximum), and the members see `data` once. `data` is
        `(x, y)` or batches of these, `y` integer or one-hot classes, or 0 and 1 for a single
        output.
        """
        check_integer("rounds", rounds, minimum=1)
        parts: list[np.ndarray] = []
        forward = None
        for x, y, _ in iterate_batches(data, batch_size):
            if y is None:
                raise ValueError("`data` must be (x, y) or batches of these, got no labels.")
            inputs = as_model_inputs(self, x)
            if forward is None:
                self(inputs)  # makes the weights
                forward = make_forward(self.family_outputs, self.variables)
            outputs = ops.convert_to_numpy(forward(inputs)).astype("float64")
            parts.append(_likelihoods(outputs, np.asarray(y)))
        likelihoods = np.concatenate(parts, axis=1)
        weights = np.array(list(self.family_weights().values()))
        for _ in range(rounds):
            mixed = np.maximum(weights @ likelihoods, _SMALLEST)
            weights = weights * (likelihoods / mixed).mean(axis=1)
            weights = weights / weights.sum()
        self.family_logits.assign(np.log(np.maximum(weights, _SMALLEST)))
        return self.family_weights()

    def _family_of_members(self):
        if self.families is not None:
            return list(self.families)
        names = [member.name for member in self.models]
        return [
            name if names.count(name) == 1 else f"{name}:{index}"
            for index, name in enumerate(names)
        ]

    def _names(self):
        return list(dict.fromkeys(self._family_of_members()))

    # The optimizer would decay the weights of members that nobody trains.
    def _trained(self, variables):
        if self.train_members or not self.trainable:
            return variables
        return [variable for variable in variables if variable is self.family_logits]

    def _held(self, variables, trained):
        known = {id(variable) for variable in trained}
        return [variable for variable in variables if id(variable) not in known]

    @property
    def trainable_variables(self):
        return self._trained(super().trainable_variables)

    @property
    def non_trainable_variables(self):
        return self._held(self.variables, self.trainable_variables)

    @property
    def trainable_weights(self):
        return self._trained(super().trainable_weights)

    @property
    def non_trainable_weights(self):
        return self._held(self.weights, self.trainable_weights)

    def get_config(self) -> dict:
        families = self.families
        return {
            **super().get_config(),
            "models": [keras.saving.serialize_keras_object(member) for member in self.models],
            "families": None if families is None else list(families),
            "from_logits": self.from_logits,
            "train_members": self.train_members,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        models = [
            keras.saving.deserialize_keras_object(member, custom_objects=custom_objects)
            for member in config["models"]
        ]
        return cls(**{**config, "models": models})


def _likelihoods(outputs, labels):
    """What each family says of the true labels: shape `(families, labels)`."""
    if outputs.min() < 0.0 or outputs.max() > 1.0 + 1e-6:
        raise ValueError(
            "`data`: the members must give probabilities, got outputs from "
            f"{outputs.min():.4g} to {outputs.max():.4g}. Construct with `from_logits=True`."
        )
    if outputs.shape[-1] == 1:
        labels = labels.reshape(1, *outputs.shape[1:]).astype("float64")
        return (labels * outputs + (1.0 - labels) * (1.0 - outputs)).reshape(len(outputs), -1)
    if labels.shape == outputs.shape[1:]:
        labels = labels.argmax(axis=-1)
    labels = labels.reshape(outputs.shape[1:-1]).astype("int64")
    return np.take_along_axis(outputs, labels[None, ..., None], axis=-1).reshape(len(outputs), -1)


def _check_models(models):
    if not isinstance(models, (list, tuple)):
        raise TypeError(
            f"`models` must be a list of models, got {models!r} of type {type(models).__name__}."
        )
    if not models:
        raise ValueError(f"`models` is empty: there is nothing to mix, got {models!r}.")
    for member in models:
        check_built(member, "LearnableEnsemble", argument="models")
    shapes = [getattr(member, "output_shape", None) for member in models]
    known = [shape for shape in shapes if shape is not None]
    if any(shape != known[0] for shape in known):
        raise ValueError(f"`models` must have one output shape, got {shapes}.")


def _check_families(families, count):
    if families is None:
        return
    if not isinstance(families, (list, tuple)) or any(not isinstance(f, str) for f in families):
        raise TypeError(f"`families` must be a list of strings or None, got {families!r}.")
    if len(families) != count:
        raise ValueError(
            f"`families` must name the family of each of the {count} models, got {families!r}."
        )

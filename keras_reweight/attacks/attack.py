"""The interface of attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_reweight.attacks.attack_loss import is_correct
from keras_reweight.core.batches import batch_length, iterate_batches, num_batches
from keras_reweight.core.configured import Configured
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.validation import check_boolean, check_built, check_integer


class Attacked(NamedTuple):
    """What an attack found for a batch.

    Write one in a subclass of `Attack`, or read them one after the other from `attack.batches`.

    Args:
        x: Adversarial inputs, float tensor of the shape of the inputs.
        steps_correct: Float32 tensor of shape `(batch,)`: before how many of its steps the sample
            was still classified correctly, or `None` if nobody counted.

    Returns:
        A tuple with these fields.

    Raises:
        TypeError: If a field is unknown.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    found = kr.attacks.Attacked(np.zeros((2, 3), "float32"), None)
    ```

    Reference:
        None; what `Attack.search` returns. The count is that of Zhang et al., "Geometry-aware
        Instance-reweighted Adversarial Training", ICLR 2021, arXiv 2010.01736.
    """

    x: Any
    steps_correct: Any = None


class Attack(Configured):
    """Base of attacks: search within a ball around an input for what the model gets wrong.

    An attack is a stateless, serializable object. Called with a model and arrays it gives
    adversarial arrays; inside a train step `search` does the same with tensors. The model runs in
    inference mode, so that batch normalization neither mixes samples nor learns from them.
    A subclass defines `search(predict, x, y, counter=0)`; one that needs more of the model than its
    predictions overrides `search_model` and `predictions`, as `EmbeddingAttack` does.

    Args:
        model: A built `keras.Model` with one floating point input and one output.
        x: Inputs, float array of shape `(num_samples, ...)`.
        y: Labels as class ids of shape `(num_samples,)`, `(num_samples, 1)` or one-hot
            `(num_samples, classes)`; targets of regression for a loss of one's own. `None` takes
            the classes that the model predicts. Defaults to `None`.
        batch_size: Integer, samples attacked together. Defaults to `128`.
        verbose: Boolean, show a progress bar. Defaults to `False`.

    Returns:
        Float array of the shape of `x`.

    Raises:
        TypeError: If `model` is not a model or `x` holds integers.
        ValueError: If `model` is not built or `x` and `y` differ in length.

    Example:

    ```python
    import keras
    import numpy as np
    from keras import ops
    import keras_reweight as kr

    class Brighter(kr.attacks.Attack):
        def search(self, predict, x, y, counter=0):
            return kr.attacks.Attacked(ops.minimum(x + 0.1, 1.0), None)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    adversarial = Brighter()(model, np.zeros((4, 3), "float32"), np.zeros(4))
    assert adversarial.max() == np.float32(0.1)
    ```

    Reference:
        None; the interface all attacks share.
    """

    #: Whether what it finds are inputs of the model.
    searches_inputs: bool = True

    def search(self, predict: Callable[[Any], Any], x: Any, y: Any, counter: Any = 0) -> Attacked:
        """Adversarial inputs of one batch of tensors, as constants.

        `predict(x)` gives predictions and assigns no variable; `counter` (integer or integer
        tensor) chooses the random numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} must define search(...).")

    def search_model(self, model: keras.Model, x: Any, y: Any = None, counter: Any = 0) -> Attacked:
        """`search` against a model, for a batch of tensors; `y=None` takes its predictions."""

        def predict(inputs):
            return predictions_of(model, inputs)

        labels = ops.argmax(predict(x), axis=-1) if y is None else y
        return self.search(predict, x, labels, counter)

    def predictions(self, model: keras.Model, x: Any, attacked: Attacked) -> Any:
        """What the model says to what was found for the batch `x` of tensors."""
        return predictions_of(model, attacked.x)

    def read_variables(self, model: keras.Model) -> list:
        """The variables that a search reads."""
        return model.variables

    def check_inputs(self, x: Any) -> None:
        """Raise unless `x` can be attacked."""
        dtypes = {str(leaf.dtype) for leaf in keras.tree.flatten(x) if hasattr(leaf, "dtype")}
        if not dtypes or not all("float" in dtype for dtype in dtypes):
            raise TypeError(
                f"{type(self).__name__}: `x` must be a floating point array, got "
                f"{sorted(dtypes) or type(x).__name__}. Scale images to floats; integer inputs "
                "such as token ids have no gradient: use EmbeddingAttack for them."
            )

    def __call__(
        self,
        model: keras.Model,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 128,
        verbose: bool = False,
    ) -> np.ndarray:
        return np.concatenate(
            [batch.x for batch in self.batches(model, x, y, batch_size=batch_size, verbose=verbose)]
        )

    def batches(
        self,
        model: keras.Model,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 128,
        verbose: bool = False,
    ) -> Iterable[Attacked]:
        """What `search` finds, batch by batch, as NumPy arrays."""
        name = type(self).__name__
        check_built(model, name)
        check_integer("batch_size", batch_size, minimum=1)
        check_boolean("verbose", verbose)
        self.check_inputs(x)
        data = (x,) if y is None else (x, y)
        return self._found(model, data, batch_size, verbose)

    def _found(self, model, data, batch_size, verbose):
        search = self._compiled(model)
        bar = keras.utils.Progbar(num_batches(data, batch_size)) if verbose else None
        for number, (x, y, _) in enumerate(iterate_batches(data, batch_size)):
            found = search(*as_model_inputs(model, (x, y)), np.int32(number))
            arrays = [None if part is None else ops.convert_to_numpy(part) for part in found]
            yield Attacked(*(None if part is None else part[: batch_length(x)] for part in arrays))
            if bar is not None:
                bar.add(1)

    def _compiled(self, model):
        def search(x, y, counter):
            return tuple(self.search_model(model, x, y, counter))

        # Kept alive by the entry, so that no other attack gets its id.
        return cached(
            model,
            ("attack", id(self)),
            self,
            lambda: make_forward(search, self.read_variables(model)),
        )


def count_correct(y: Any, y_pred: Any):
    """Float32 ones where the predictions are right, or `None` if they are no classes."""
    scores = len(y_pred.shape) == 2 and y_pred.shape[-1] is not None and y_pred.shape[-1] > 1
    return ops.cast(is_correct(y, y_pred), "float32") if scores else None


def per_sample_zeros(x: Any):
    """Float32 zeros of shape `(batch,)`."""
    return ops.zeros_like(ops.max(ops.reshape(x, (ops.shape(x)[0], -1)), axis=1), "float32")


def worst(found: list[tuple[Attacked, Any]]) -> Attacked:
    """Of several results, each with a number of every sample, that of the highest for each."""
    chosen, best = found[0]
    for attacked, reached in found[1:]:
        better = reached > best
        best = ops.where(better, reached, best)
        chosen = Attacked(*(pick(better, *pair) for pair in zip(attacked, chosen, strict=True)))
    return chosen


def pick(which: Any, new: Any, old: Any):
    """The rows of `new` where `which`, of shape `(batch,)`, is true, those of `old` elsewhere."""
    if new is None or old is None:
        return None
    return ops.where(ops.reshape(which, (-1,) + (1,) * (len(new.shape) - 1)), new, old)

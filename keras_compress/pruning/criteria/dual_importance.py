"""What a weight is worth in general and for one domain, in one score."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.pruning.criteria._data_criterion import DataCriterion, mean_over, weights_of
from keras_compress.pruning.criteria._kernel_inputs import kernel_inputs, statistics_of
from keras_compress.pruning.criteria.criterion import host_value
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.validation import check_number


class DualImportance(DataCriterion):
    """Score weights for a domain without forgetting what they are worth in general.

    General importance is the error that removing a weight makes in the output of its layer on
    general data, `G = w^2 / (2 [H^-1]_jj)` with `H = sum x x^T` over the inputs of the layer. It
    becomes a penalty on moving a weight, which turns the gradient `g` of a batch of domain data
    into `g' = g + 2 lam alpha G g` (one virtual step of size `alpha`). The score is the change of
    the loss to second order, `s = mean over batches of |w g' + 0.5 (w g')^2|`. For language models
    that are pruned for a domain and should still speak; rank each layer by itself
    (`UniformAllocation`). Not for a single data set, where `Taylor` is the simpler criterion.

    Args:
        general: Inputs of general data: float or integer arrays `x` or `(x, ...)` of shape
            `(num_samples, ...)`, or a `PyDataset`, `tf.data.Dataset`, `DataLoader` or list of
            batches; labels are ignored.
        domain: Labeled data of the domain: arrays `(x, y)` or `(x, y, sample_weight)` of that
            shape and dtype, or batches of these.
        loss: Anything that `compile` takes. Defaults to `None`, the compiled loss.
        lam: Float >= 0, weight of the general importance; with zero only the domain counts.
            Defaults to `0.1`.
        alpha: Float >= 0, size of the virtual step. Defaults to `0.03`.
        damping: Float > 0, added to the diagonal of `H`, in units of its mean. Defaults to `0.01`.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.

    Returns:
        A `Criterion` for `prune_weights` and `Pruning`; it has no config, because it holds data.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is outside its range; in `scores`, if the model has no loss, the
            labels do not fit it, data are empty, inputs of a layer are not finite, or a weight is
            NaN.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    criterion = kc.pruning.DualImportance(x, (x[:32] + 1.0, x[:32, :1]))
    kc.pruning.prune_weights(
        model, 0.5, criterion=criterion, allocation=kc.pruning.UniformAllocation()
    )
    ```

    Reference:
        Zhang et al., "Pruning as a Domain-specific LLM Extractor" (D-Pruner), Findings of NAACL
        2024, arXiv 2405.06275, sections 3.1 to 3.3.

    Deviations:
        The paper's code was never released; `lam` and `alpha` are settings to try, and their
        effect grows with the amount of general data. For kernels whose inputs exist only inside
        their layer (recurrent, separable) `H` is the identity, so that the domain alone decides.

    Cost:
        A forward pass over the general data with a Gram matrix for every layer, its inverse on the
        host, and a forward and a backward pass over the domain data.
    """

    def __init__(
        self,
        general: Any,
        domain: Any,
        *,
        loss: Any = None,
        lam: float = 0.1,
        alpha: float = 0.03,
        damping: float = 0.01,
        batch_size: int = 32,
    ):
        check_number("lam", lam, minimum=0.0)
        check_number("alpha", alpha, minimum=0.0)
        check_number("damping", damping, exclusive_minimum=0.0)
        super().__init__(domain, loss=loss, batch_size=batch_size)
        self.general = general
        self.domain = domain
        self.lam = lam
        self.alpha = alpha
        self.damping = damping

    def scores(self, model, variables):
        weights = weights_of(variables)
        factors = [
            1.0 + 2.0 * self.lam * self.alpha * importance
            for importance in self.general_importance(model, variables)
        ]

        def changes():
            for count, gradients in self.gradients(model, variables):
                triples = zip(weights, factors, gradients, strict=True)
                changed = [w * f * g for w, f, g in triples]
                yield count, [np.abs(c + 0.5 * np.square(c)) for c in changed]

        return mean_over(changes())

    def batches(self, data=None, argument="domain"):
        return super().batches(data, argument)

    def general_importance(self, model, variables) -> list[np.ndarray]:
        """`G` of every weight, from the general data alone."""
        kernels = kernel_inputs(model, variables)
        general = self.general
        # Refused here by its own name.
        batches = iterate_batches(general, self.batch_size, argument="general")
        if hasattr(general, "__next__"):
            general = list(batches)
        grams = statistics_of(
            model, kernels, general, moment="gram", batch_size=self.batch_size, argument="general"
        )
        inverses = [None if gram is None else self._inverse_diagonal(gram) for gram in grams]
        importances = []
        for variable, kernel, inverse in zip(variables, kernels, inverses, strict=True):
            rows = kernel.rows(inverse)
            squares = np.square(kernel.matrix(host_value(variable)).astype("float64"))
            importances.append(kernel.kernel(squares / (2.0 * rows[..., None])))
        return importances

    def _inverse_diagonal(self, gram):
        gram = np.asarray(gram)
        size = gram.shape[-1]
        mean = np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / size
        # An input that is never there has no scale of its own.
        damped = gram + (self.damping * mean + (mean == 0.0)) * np.eye(size)
        return np.diagonal(np.linalg.inv(damped), axis1=-2, axis2=-1)

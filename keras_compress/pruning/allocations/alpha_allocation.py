"""Prune where training has done least."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.min_keep import (
    exact_counts,
    held_counts,
    prune_total,
    refine_sparsities,
)
from keras_compress.pruning.layer_alphas import check_alpha_options, variable_alphas
from keras_compress.pruning.prunable_weights import innermost_layers
from keras_reweight.core.kernel_axes import num_eigenvalues
from keras_reweight.core.validation import check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class AlphaAllocation(Allocation):
    """Layer sparsities from the heavy tails of the spectra: well trained layers keep more.

    The exponents of `layer_alphas` are mapped linearly to `1 - epsilon ... 1 + epsilon`, from the
    heaviest tail (smallest alpha) to the lightest, and scaled by one factor to the wanted total;
    what a variable cannot give, the others do. Kernels with few eigenvalues have no spectrum to
    speak of and get the middle. Needs no data. Made for large language models at 70 to 80 %, where
    it stays close to uniform; give their transformer blocks as `blocks`.

    Args:
        epsilon: Float in `[0, 1)`, how far the sparsities spread. Defaults to `0.3`.
        method: `"farms"` or `"hill"`, as for `layer_alphas`. Defaults to `"farms"`.
        blocks: List of layer names; the variables below one of them share their mean alpha. `None`
            takes every variable by itself.
        rows: Integer >= 2, side of the windows of `"farms"`. Defaults to `100`.
        num_windows: Integer >= 2, most windows along an axis. Defaults to `9`.
        min_eigenvalues: Integer >= 0, kernels with fewer eigenvalues (the shorter side of their
            matrix, times the places of a convolution) get the middle. Defaults to `50`.
        min_keep: Float in `[0, 1)`, share of all prunable weights that must survive in each
            variable, at least one if above 0; smaller variables stay dense. Defaults to `0.0005`.

    Returns:
        An `Allocation` for `Pruning` and `prune_weights`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; when it is used, if `sparsity` is outside
            `[0, 1)` or leaves less than `min_keep` demands, or a block holds no variable.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    allocation = kc.pruning.AlphaAllocation(epsilon=0.2)
    report = kc.pruning.prune_weights(model, 0.75, allocation=allocation)
    assert sum(mask.sum() for mask in report.masks.values()) == 48
    ```

    Reference:
        Lu et al., "AlphaPruning", NeurIPS 2024, arXiv 2410.10912, equation 3; with FARMS exponents
        Hu et al., arXiv 2506.06280; official code github.com/haiquanlu/AlphaPruning.

    Deviations:
        Official code cuts sparsities off at 1 without giving the difference to other layers, and
        leaves the choice of layers to its caller (`min_eigenvalues` is that of TempBalance, by the
        same authors). With a gradual schedule the exponents are those of the partly pruned weights.

    Cost:
        That of `layer_alphas` at every update of the masks.
    """

    def __init__(
        self,
        epsilon: float = 0.3,
        *,
        method: str = "farms",
        blocks: Sequence[str] | None = None,
        rows: int = 100,
        num_windows: int = 9,
        min_eigenvalues: int = 50,
        min_keep: float = 0.0005,
    ):
        super().__init__(min_keep)
        check_number("epsilon", epsilon, minimum=0.0, exclusive_maximum=1.0)
        check_alpha_options(method, rows, num_windows)
        check_integer("min_eigenvalues", min_eigenvalues, minimum=0)
        names = () if blocks is None else blocks
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise TypeError(f"`blocks` must be a list of layer names, got {blocks!r}.")
        self.epsilon = epsilon
        self.method = method
        self.blocks = blocks
        self.rows = rows
        self.num_windows = num_windows
        self.min_eigenvalues = min_eigenvalues

    def plan(self, scores, sparsity, floors, context):
        if context is None:
            raise ValueError("An AlphaAllocation needs the weights, got no `context`.")
        owners = innermost_layers(context.model)
        layers = [owners.get(id(variable)) for variable in context.variables]
        alphas = variable_alphas(
            context.variables,
            layers,
            method=self.method,
            rows=self.rows,
            num_windows=self.num_windows,
        )
        numbers = [
            num_eigenvalues(tuple(variable.shape), layer)
            for variable, layer in zip(context.variables, layers, strict=True)
        ]
        alphas = np.where(np.array(numbers) < self.min_eigenvalues, np.nan, alphas)
        sizes = [score.size for score in scores]
        total = prune_total(sparsity, sizes, floors)
        ratios = alpha_ratios(self._block_means(alphas, context.paths), self.epsilon)
        sparsities = refine_sparsities(ratios, sizes, total / sum(sizes), floors)
        return exact_counts(sparsities, sizes, total, floors, held_counts(scores))

    def _block_means(self, alphas, paths):
        for name in self.blocks or ():
            inside = np.array([name in path.split("/") for path in paths])
            if not inside.any():
                raise ValueError(
                    f"`blocks`: no variable that is pruned is below a layer named {name!r}. Paths: "
                    f"{list(paths)}."
                )
            known = inside & np.isfinite(alphas)
            alphas[inside] = alphas[known].mean() if known.any() else np.nan
        return alphas

    def get_config(self):
        return {
            "epsilon": self.epsilon,
            "method": self.method,
            "blocks": self.blocks,
            "rows": self.rows,
            "num_windows": self.num_windows,
            "min_eigenvalues": self.min_eigenvalues,
            **super().get_config(),
        }


def alpha_ratios(alphas: np.ndarray, epsilon: float) -> np.ndarray:
    """Sparsities relative to each other; 1 where there is no exponent or no difference."""
    known = np.isfinite(alphas)
    low, high = (alphas[known].min(), alphas[known].max()) if known.any() else (0.0, 0.0)
    if high <= low:
        return np.ones(len(alphas))
    place = np.where(known, (alphas - low) / (high - low), 0.5)
    return 1.0 - epsilon + 2.0 * epsilon * place

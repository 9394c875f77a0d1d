"""Contrastive loss of nodes and of communities."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean, check_choice, check_number
from keras_reweight.losses._view_pairs import own_candidate_losses, views
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.metric_learning._pairs import (
    FAR,
    only,
    own_pairs,
    pair_masks,
    squared_distances,
    valid_pairs,
)


@keras.saving.register_keras_serializable(package="keras_reweight")
class CommunalContrastiveLoss(MaskedLoss):
    """Two views of a sample find each other, and the community of the other view.

    Use it for two views of samples that come with clusters or communities: nodes of a graph,
    pseudo labels of a clustering. The node term is InfoNCE between the views. In the community term
    a view is compared with the centroids `C` of the other view, constants for the gradient:

    `-log(s_own / (s_own + sum_c w_c s_c))` with `w_c = exp(-gamma |C_own - C_c|^2)` and `s` either
    `exp(-|z - C|^2 / T^2)` (`"rbf"`) or `exp(z . C / T)` (`"cosine"`), `T = temperature`.

    The weights stress the communities that are hard to tell from the own one; `gamma=0` counts all
    alike.

    Embeddings are normalized. Each row has a loss of its own; `sample_weight` weights rows, masked
    rows are no negatives and enter no centroid.

    Args:
        temperature: Float > 0, see above. Defaults to `0.4`.
        gamma: Float >= 0, decay of the weights of communities. Defaults to `1.0`.
        kernel: `"rbf"` or `"cosine"`, see above. Defaults to `"rbf"`.
        node_weight: Float >= 0, factor of the node term. Defaults to `1.0`.
        community_weight: Float >= 0, factor of the community term. Defaults to `1.0`.
        symmetric: Boolean, whether the terms are averaged over both directions. Defaults to `True`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"communal_contrastive_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with community ids of shape `(batch,)` or memberships of shape
        `(batch, communities)`, whose largest counts, and stacked views of shape
        `(batch, 2, features)`: the reduced loss.

    Raises:
        TypeError: If a number is of another type or `symmetric` not a boolean.
        ValueError: If a number is out of range, `kernel` is unknown, or, on a call, for other
            shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2, 4)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.CommunalContrastiveLoss())
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 1, 4)) + 0.1 * rng.normal(size=(12, 2, 4))
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Li, Jing and Tong, "Graph Communal Contrastive Learning", WWW 2022, arXiv 2110.14863;
        lblaoke/gCooL.

    Deviations:
        The authors' code computes one direction of the node term twice and weights communities
        only with the RBF kernel, by a `gamma` of 8e-5 that leaves all weights at one. Communities
        that are not in the batch are no negatives; there they are centroids of zero. The schedule
        of the two terms and the edge density term of graphs are left out.
    """

    def __init__(
        self,
        temperature: float = 0.4,
        *,
        gamma: float = 1.0,
        kernel: str = "rbf",
        node_weight: float = 1.0,
        community_weight: float = 1.0,
        symmetric: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "communal_contrastive_loss",
        dtype=None,
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_number("gamma", gamma, minimum=0.0)
        check_choice("kernel", kernel, ("rbf", "cosine"))
        check_number("node_weight", node_weight, minimum=0.0)
        check_number("community_weight", community_weight, minimum=0.0)
        check_boolean("symmetric", symmetric)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = temperature
        self.gamma = gamma
        self.kernel = kernel
        self.node_weight = node_weight
        self.community_weight = community_weight
        self.symmetric = symmetric

    def losses(self, y_true, y_pred, mask):
        both = views(y_pred, normalize=True, number=2)
        same, other = pair_masks(y_true, mask)
        same = ops.logical_or(same, ops.logical_and(own_pairs(mask), valid_pairs(mask)))
        values = self._direction(both[:, 0], both[:, 1], same, other)
        if self.symmetric:
            values = 0.5 * (values + self._direction(both[:, 1], both[:, 0], same, other))
        return only(values, mask)

    def _direction(self, queries, targets, same, other):
        kept = ops.logical_or(same, other)
        nodes = own_candidate_losses(
            queries, ops.expand_dims(targets, axis=1), kept, self.temperature
        )
        communities = self._communities(queries, targets, same, other)
        return self.node_weight * nodes + self.community_weight * communities

    def _communities(self, queries, targets, same, other):
        shares = ops.cast(same, queries.dtype)
        sizes = ops.maximum(ops.sum(shares, axis=-1), 1.0)
        # Row j holds the centroid of the community of sample j: no number of communities is needed.
        centroids = ops.matmul(shares / ops.expand_dims(sizes, axis=-1), targets)
        centroids = ops.stop_gradient(centroids)
        if self.kernel == "rbf":
            scores = -squared_distances(queries, centroids) / self.temperature**2
        else:
            scores = ops.matmul(queries, ops.transpose(centroids)) / self.temperature
        own = ops.sum(only(scores, own_pairs(sizes)), axis=-1, keepdims=True)
        # Every member stands for its community: divided by their number, they count once.
        rivals = scores - self.gamma * squared_distances(centroids, centroids) - ops.log(sizes)
        rivals = ops.concatenate([only(rivals, other, -FAR), own], axis=-1)
        return ops.logsumexp(rivals, axis=-1) - ops.squeeze(own, axis=-1)

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "temperature": self.temperature,
            "gamma": self.gamma,
            "kernel": self.kernel,
            "node_weight": self.node_weight,
            "community_weight": self.community_weight,
            "symmetric": self.symmetric,
        }

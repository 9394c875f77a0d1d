"""Base of importances from derivatives of the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.importances.data_means import mean_over_samples
from keras_compress.structured.importances.group_importance import GroupImportance
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.validation import check_integer


class LossImportance(GroupImportance):
    """Holds labelled samples and a loss; subclasses say which derivative they take of it."""

    get_config = NoConfig("it holds data")

    def __init__(
        self,
        data: Any,
        *,
        loss: Any = None,
        batch_size: int = 32,
        normalizer: str = "mean",
        reduction: str = "mean",
        bias: bool = False,
    ):
        super().__init__(normalizer=normalizer, reduction=reduction, bias=bias)
        self.data = data
        self.loss = loss
        self.batch_size = batch_size

    def mean_derivatives(
        self, derivative: Callable, graph: ChannelGraph, keys: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Mean over the data of `derivative(model, x, y, ...)`, one array for each variable."""
        variables = [graph.variables[key] for key in keys]

        def of_batch(x, y, sample_weight):
            options = {"loss": self.loss, "sample_weight": sample_weight, "variables": variables}
            return derivative(graph.model, x, y, **options)

        means = mean_over_samples(of_batch, variables, self.data, self.batch_size)
        return dict(zip(keys, means, strict=True))

    def check(self) -> None:
        super().check()
        check_integer("batch_size", self.batch_size, minimum=1)

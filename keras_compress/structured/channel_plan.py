"""A pruning that is fully described and checked, to be carried out at once or in steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_compress.structured.channel_budget import as_budget
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.chosen_groups import groups_made_by
from keras_compress.structured.compensation import METHODS, rebuild_compensated
from keras_compress.structured.cost_search import model_cost, search
from keras_compress.structured.importances.resolve_importance import (
    needs_data,
    resolve_importance,
)
from keras_compress.structured.selection import (
    SCOPES,
    Limits,
    check_ratio,
    check_scores,
    make_pools,
    resolve_ratios,
    select_channels,
)
from keras_reweight.core.validation import check_built, check_choice, check_integer


class ChannelPlan:
    """What `prune_structured` was asked for, about one original model.

    Everything that can be wrong with the arguments is found here. Shares are of the original model,
    so that `prune` can be called again, with more progress, on what an earlier call gave.
    """

    def __init__(
        self,
        model: keras.Model,
        ratio: Any,
        *,
        importance: Any,
        scope: str,
        budget: Any,
        data: Any,
        layers: Any,
        round_to: int,
        compensate: str | None,
    ):
        check_built(model, "prune_structured")
        check_choice("scope", scope, SCOPES)
        check_integer("round_to", round_to, minimum=1)
        check_choice("compensate", compensate, [None, *METHODS])
        if compensate is not None and data is None:
            raise ValueError(f"`compensate`={compensate!r} needs `data`, samples of the inputs.")
        self.budget = as_budget(budget)
        self.ratio = ratio
        if not isinstance(ratio, Mapping):
            check_ratio("ratio", ratio)
        elif self.budget.cost != "channels":
            raise ValueError(
                f"`ratio`={ratio!r} gives shares of channels layer by layer; with "
                f"`budget`={self.budget.cost!r} it must be one number."
            )
        self.importance = resolve_importance(importance, data)
        if data is not None and compensate is None and not needs_data(importance):
            raise ValueError(
                f"`data` is given ({type(data).__name__}), but neither `importance`={importance!r} "
                "nor `compensate`=None uses it."
            )
        self.scope = scope
        self.data = data
        self.compensate = compensate
        self.limits = Limits(self.budget.max_ratio, self.budget.min_channels, round_to)
        self.graph = ChannelGraph(model)
        groups = _chosen(self.graph, layers)
        self.ratios = resolve_ratios(ratio, groups)
        self.sizes = {group.name: group.size for group in groups}
        self._cost: float | None = None

    def prune(self, graph: ChannelGraph, progress: float = 1.0) -> keras.Model:
        """The model of `graph` with the channels removed that `progress` of the ratio asks for."""
        groups = [group for group in graph.groups if group.name in self.ratios]
        scores = self.importance.scores(graph, groups)
        check_scores(scores, groups, self.importance)
        pools = make_pools(graph, groups, self.ratios, self.scope)

        def select(relative):
            chosen = {key: (relative[key], names) for key, (_, names) in pools.items()}
            return select_channels(groups, scores, chosen, self.limits, self.sizes)

        if self.budget.cost == "channels":
            now = {group.name: group.size for group in groups}
            keep = select(
                {
                    key: self._relative(ratio * progress, names, now)
                    for key, (ratio, names) in pools.items()
                }
            )
        else:
            share = 1.0 - float(self.ratio) * progress
            keep = search(
                graph,
                lambda ratio: select(dict.fromkeys(pools, ratio)),
                self.budget.cost,
                share * self._original_cost(),
            )
        return rebuild_compensated(graph, keep, self.compensate, self.data)

    def _relative(self, ratio, names, now):
        """The share of what is there now that leaves `1 - ratio` of what there was."""
        before, present = (sum(each[name] for name in names) for each in (self.sizes, now))
        return max(0.0, 1.0 - (1.0 - ratio) * before / present)

    def _original_cost(self):
        if self._cost is None:
            self._cost = model_cost(self.graph.model, self.budget.cost)
        return self._cost


def _chosen(graph, layers):
    """The groups of which every layer that makes the channels is chosen."""
    if not graph.groups:
        raise ValueError(
            f"prune_structured: no channels of model {graph.model.name!r} can be removed. Why: "
            f"{graph.frozen}."
        )
    return list(graph.groups) if layers is None else groups_made_by(graph, layers)

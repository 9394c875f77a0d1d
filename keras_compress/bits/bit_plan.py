"""Bits for every layer, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_reweight.core.axes import axes_or_new


@dataclass(frozen=True, eq=False)
class BitPlan(Mapping):
    """A bit width for each layer: a mapping that every `weights=` and `bits=` argument takes.

    Made by `allocate_bits`. `print(plan)` shows the table, `plan.plot()` draws it, `dict(plan)` is
    ready for JSON, and `{**plan, "head": 8}` is the plan corrected by hand. Post-training solvers
    leave embeddings alone unless `layers=list(plan)` names them.

    Args:
        bits: Dict from layer path to bits. Layers that stay float are not in it.
        sizes: Dict from the same paths to the number of weights.
        num_bytes: Integer, bytes of all weights of the model under the plan as `packed_size`
            counts them: packed codes, 4 for the scale of each output channel, and the rest as it
            is.
        scores: Dict from path to what the allocation was made from. Defaults to an empty dict.
        unquantized: Dict from the path of a layer that stays float to the reason. Defaults to an
            empty dict.

    Returns:
        A record with the arguments as attributes; `plan[path]` is the bit width of a layer, and
        `mean_bits` the mean over the weights of the plan.

    Raises:
        KeyError: If a path is not in the plan.

    Example:

    ```python
    import keras_compress as kc

    plan = kc.bits.BitPlan({"conv": 8, "head": 4}, {"conv": 100, "head": 300}, num_bytes=250)
    assert plan["head"] == 4 and plan.mean_bits == 5.0
    ```

    Reference:
        None; container.
    """

    bits: dict[str, int]
    sizes: dict[str, int]
    num_bytes: int
    scores: dict[str, Any] = field(default_factory=dict)
    unquantized: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, path: str) -> int:
        return self.bits[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.bits)

    def __len__(self) -> int:
        return len(self.bits)

    @property
    def mean_bits(self) -> float:
        """Mean bit width over the weights in the plan."""
        total = sum(self.bits[path] * size for path, size in self.sizes.items())
        return total / sum(self.sizes.values())

    def plot(self, ax: Any = None) -> Any:
        """Bits of the layers as bars, as wide as the layers are large; needs matplotlib.

        The area of all bars is the size of the codes. Returns the matplotlib axes.
        """
        ax = axes_or_new(ax)
        total, left = sum(self.sizes.values()), 0.0
        middles = []
        for path, bits in self.bits.items():
            width = self.sizes[path] / total
            ax.bar(left, bits, width, align="edge", edgecolor="white")
            middles.append(left + 0.5 * width)
            left += width
        ax.axhline(self.mean_bits, color="black", linestyle="--", linewidth=1.0)
        ax.set_xticks(middles, list(self.bits), rotation=45, ha="right", fontsize="small")
        ax.set_xlabel("share of the weights")
        ax.set_ylabel("bits")
        return ax

    def __str__(self) -> str:
        paths = [*self.bits, *self.unquantized]
        width = max(len(path) for path in paths)
        lines = [
            f"{path:<{width}}  {bits} bits  {self.sizes[path]:>12,} weights{self._score(path)}"
            for path, bits in self.bits.items()
        ]
        lines += [f"{path:<{width}}  float   {reason}" for path, reason in self.unquantized.items()]
        lines.append(f"mean {self.mean_bits:.3f} bits, {self.num_bytes:,} bytes of weights")
        return "\n".join(lines)

    def _score(self, path):
        score = self.scores.get(path)
        if isinstance(score, Mapping):
            score = score.get(self.bits[path])
        return "" if score is None else f"  score {score:.4g}"

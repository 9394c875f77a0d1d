"""Codebooks of outputs: levels wherever the weights are."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.grids.table_grid import TableGrid
from keras_compress.post_training._affine_neighbors import table_neighbors
from keras_compress.post_training._changed_problem import problem_gram
from keras_compress.post_training._k_means import group_columns, k_means, nearest_codes
from keras_compress.post_training._soft_rounding import Annealing, learn_choices
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_choice, check_integer

# A step of the size of the mean gap counts as it is, wider ones for less.
_NEARLY_NOTHING = 0.1
_LEARNING = Annealing(steps=500, learning_rate=0.02, regularization=100.0)


@keras.saving.register_keras_serializable(package="keras_compress")
class Codebook(Solver):
    """Levels by k-means, a codebook for each output or group of outputs, learned on data if wanted.

    At 2 and 3 bits, where even levels waste codes; the model computes with the decoded values, so
    it saves memory, not time. Outputs with similarly distributed weights are put into `groups`
    that share a codebook of `2**bits` levels, found by Lloyd's iterations from quantiles.

    `mapping="learned"` then looks at the outputs of the layer. Codes and levels are improved in
    turn: each weight chooses softly between the levels next to it (as in `LearnedRounding`), with
    a gradient that is smaller for wider steps, and the levels are the least squares solution for
    these codes. What has the least error of the outputs stays.

    Args:
        groups: Integer >= 1, number of codebooks of a kernel, or `None` for one an output. Defaults
            to `None`.
        mapping: `"nearest"`, which needs no data, or `"learned"`. Defaults to `"nearest"`.
        iterations: Integer >= 1, the most iterations of k-means. Defaults to `25`.
        rounds: Integer >= 1, of codes and levels in turn, with `"learned"`. Defaults to `2`.

    Returns:
        A `Solver` for `post_training.quantize`; it gives a `TableGrid`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `solve`, if groups of inputs are asked
            for, which codebooks do not have, or the statistics are missing.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    weight = np.array([[0.0], [0.1], [0.9], [1.0], [5.0], [5.0]])
    problem = kc.post_training.LayerProblem(weight, bits=2)
    found = kc.post_training.Codebook().solve(problem)
    assert np.abs(found.values() - weight).max() < 0.06
    ```

    Reference:
        Yvinec et al., "Network Memory Footprint Compression Through Jointly Learnable Codebooks and
        Mappings", ICLR 2024, arXiv 2309.17361.

    Deviations:
        The paper has no code, and its gradient is not public in detail beyond falling with the
        distance of two codewords. Ours takes `g / (|c_j - c_i| + eps)` in place of `g (c_j - c_i)`,
        between the two codewords next to the weight; levels are solved for instead of learned. The
        paper re-orders the outputs so that groups need no map; here the map is stored, four bytes
        an output, and the layers after stay as they are.

    Cost:
        A sort of the kernel and `iterations` passes over it; with `"learned"`, 500 products with
        the Gram matrix in each of the `rounds`.
    """

    def __init__(
        self,
        groups: int | None = None,
        *,
        mapping: str = "nearest",
        iterations: int = 25,
        rounds: int = 2,
    ):
        if groups is not None:
            check_integer("groups", groups, minimum=1)
        check_choice("mapping", mapping, ["nearest", "learned"])
        check_integer("iterations", iterations, minimum=1)
        check_integer("rounds", rounds, minimum=1)
        self.groups = groups
        self.mapping = mapping
        self.iterations = iterations
        self.rounds = rounds

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The statistics to collect."""
        return frozenset({"gram"} if self.mapping == "learned" else ())

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        if problem.group_size is not None:
            raise ValueError(
                f"`group_size`={problem.group_size}: codebooks belong to outputs, so it must be "
                "None. `groups` of `Codebook` chooses their number."
            )
        weight = problem.weight
        count = weight.shape[1] if self.groups is None else min(self.groups, weight.shape[1])
        members = group_columns(weight, count)
        tables = np.stack(
            [
                k_means(weight[:, members == group].ravel(), 2**problem.bits, self.iterations)
                for group in range(count)
            ]
        )
        codes = nearest_codes(weight, tables[members].T)
        if self.mapping == "learned":
            codes, tables = self._learned(weight, problem_gram(problem), codes, tables, members)
        grid = TableGrid(
            problem.bits, table=tables.astype("float32"), assignment=members.astype("uint32")
        )
        return problem.stored(codes, grid)

    def _learned(self, weight, gram, codes, tables, members):
        best = codes, tables
        unit = least = _error(weight, gram, codes, tables, members)
        for _ in range(self.rounds):
            if not least:
                break
            levels = tables[members].T
            codes = _learned_codes(weight, gram, levels, unit)
            tables = solved_tables(weight, gram, codes, tables, members)
            error = _error(weight, gram, codes, tables, members)
            if error < least:
                best, least = (codes, tables), error
            # Neighbors are looked for among ascending levels.
            tables = np.sort(tables, axis=1)
        return best

    def get_config(self) -> dict:
        return {
            "groups": self.groups,
            "mapping": self.mapping,
            "iterations": self.iterations,
            "rounds": self.rounds,
        }


def _learned_codes(weight, gram, levels, unit):
    found = table_neighbors(levels, weight)
    gap = found.gap.astype("float32")
    mean = gap.mean()
    factor = np.where(gap > 0.0, mean**2 / (gap + _NEARLY_NOTHING * mean), 0.0)
    away, gram = (found.lower - weight).astype("float32"), gram.astype("float32")
    choice = learn_choices(
        found.share, lambda soft: gram @ (away + soft * gap) / unit, factor, _LEARNING
    )
    return np.where(choice >= 0.5, found.upper_codes, found.lower_codes).astype("uint8")


def solved_tables(weight, gram, codes, tables, members):
    """The levels of least output error for these codes; those that no weight has stay."""
    found = tables.copy()
    goal = gram @ weight
    for group in range(len(tables)):
        products = np.zeros((tables.shape[1],) * 2)
        sums = np.zeros(tables.shape[1])
        for output in np.flatnonzero(members == group):
            chosen = np.eye(tables.shape[1])[codes[:, output]]
            products += chosen.T @ gram @ chosen
            sums += chosen.T @ goal[:, output]
        used = np.diag(products) > 0.0
        ridge = 1e-6 * np.diag(products)[used]
        system = products[np.ix_(used, used)] + np.diag(ridge)
        found[group, used] = np.linalg.solve(system, sums[used] + ridge * tables[group, used])
    return found


def _error(weight, gram, codes, tables, members):
    away = tables[members[None, :], codes] - weight
    return 0.5 * float(np.vdot(away, gram @ away))

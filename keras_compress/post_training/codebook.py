"""Codebooks of outputs: levels wherever the weights are."""

from __future__ import annotations

from typing import NamedTuple

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
    that share a codebook of `2**bits` levels, found by Lloyd's iterations from quantiles, or that
    share a factor for the one codebook of the kernel. With `group_size`, every group of inputs of
    an output is divided by its largest weight first. `reorder_outputs` then puts outputs of a group
    next to each other, so that no map from outputs to codebooks is stored.

    `mapping="learned"` then looks at the outputs of the layer. Codes and levels are improved in
    turn: each weight chooses softly between the levels next to it (as in `LearnedRounding`), with
    a gradient that is smaller for wider steps, and the levels are the least squares solution for
    these codes. What has the least error of the outputs stays.

    Args:
        groups: Integer >= 1, number of groups of outputs in a kernel, or `None` for one an output.
            Defaults to `None`.
        mapping: `"nearest"`, which needs no data, or `"learned"`. Defaults to `"nearest"`.
        iterations: Integer >= 1, the most iterations of k-means. Defaults to `25`.
        rounds: Integer >= 1, of codes and levels in turn, with `"learned"`. Defaults to `2`.
        per_group: What a group has of its own: a `"codebook"`, or a `"scale"`, the standard
            deviation of its weights, for a codebook that all share. Defaults to `"codebook"`.

    Returns:
        A `Solver` for `post_training.quantize`; it gives a `TableGrid`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `solve`, if the statistics are missing.

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
        paper re-orders the outputs as it groups them; here `reorder_outputs` does it afterwards.

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
        per_group: str = "codebook",
    ):
        if groups is not None:
            check_integer("groups", groups, minimum=1)
        check_choice("mapping", mapping, ["nearest", "learned"])
        check_integer("iterations", iterations, minimum=1)
        check_integer("rounds", rounds, minimum=1)
        check_choice("per_group", per_group, ["codebook", "scale"])
        self.groups = groups
        self.mapping = mapping
        self.iterations = iterations
        self.rounds = rounds
        self.per_group = per_group

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The statistics to collect."""
        return frozenset({"gram"} if self.mapping == "learned" else ())

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        weight = problem.weight
        stored = group_scales(weight, problem.group_size)
        scale = np.repeat(stored, problem.group_size or problem.rows, axis=0)[: problem.rows]
        count = weight.shape[1] if self.groups is None else min(self.groups, weight.shape[1])
        members = group_columns(weight / scale, count)
        factors, shared = np.ones(count), self.per_group == "scale"
        if shared:
            factors = _deviations(weight / scale, members, count)
            scale = scale * factors[members]
        books = Books(weight, scale, np.zeros_like(members) if shared else members)
        tables = np.stack(
            [
                books.k_means(book, 2**problem.bits, self.iterations)
                for book in range(1 if shared else count)
            ]
        )
        codes = nearest_codes(books.scaled, tables[books.members].T)
        if self.mapping == "learned":
            codes, tables = self._learned(books, problem_gram(problem), codes, tables)
        grid = TableGrid(
            problem.bits,
            table=(tables * factors[:, None]).astype("float32"),
            assignment=members.astype("uint32"),
            scale=1.0 if problem.group_size is None else stored,
            group_size=problem.group_size,
        )
        return problem.stored(codes, grid)

    def _learned(self, books, gram, codes, tables):
        best = codes, tables
        unit = least = books.error(gram, codes, tables)
        for _ in range(self.rounds):
            if not least:
                break
            codes = _learned_codes(books, gram, tables, unit)
            tables = solved_tables(books, gram, codes, tables)
            error = books.error(gram, codes, tables)
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
            "per_group": self.per_group,
        }


class Books(NamedTuple):
    """A kernel `(rows, outputs)`, what its entries are divided by, and the table of each output."""

    weight: np.ndarray
    scale: np.ndarray
    members: np.ndarray

    @property
    def scaled(self) -> np.ndarray:
        return self.weight / self.scale

    def k_means(self, book: int, count: int, iterations: int) -> np.ndarray:
        """The levels of a table, those with the least squared error of its weights."""
        mine = self.members == book
        squares = np.broadcast_to(np.square(self.scale), self.weight.shape)[:, mine]
        # Rounding makes a difference where everything counts the same.
        weights = None if np.all(squares == 1.0) else squares.ravel()
        return k_means(self.scaled[:, mine].ravel(), count, iterations, weights)

    def error(self, gram: np.ndarray, codes: np.ndarray, tables: np.ndarray) -> float:
        """Squared error of the outputs."""
        away = tables[self.members[None, :], codes] * self.scale - self.weight
        return 0.5 * float(np.vdot(away, gram @ away))


def group_scales(weight: np.ndarray, size: int | None) -> np.ndarray:
    """Largest magnitude of each group of `size` rows, `(groups, outputs)`; ones without groups."""
    if size is None:
        return np.ones((1, weight.shape[1]))
    largest = np.maximum.reduceat(np.abs(weight), np.arange(0, len(weight), size), axis=0)
    # The precision in which they are stored.
    return np.where(largest > 0.0, largest, 1.0).astype("float32").astype("float64")


def _deviations(weight, members, count):
    found = np.array([weight[:, members == group].std() for group in range(count)])
    return np.where(found > 0.0, found, 1.0)


def _learned_codes(books, gram, tables, unit):
    found = table_neighbors(tables[books.members].T, books.scaled)
    gap = (found.gap * books.scale).astype("float32")
    mean = gap.mean()
    factor = np.where(gap > 0.0, mean**2 / (gap + _NEARLY_NOTHING * mean), 0.0)
    away = (found.lower * books.scale - books.weight).astype("float32")
    gram = gram.astype("float32")
    choice = learn_choices(
        found.share, lambda soft: gram @ (away + soft * gap) / unit, factor, _LEARNING
    )
    return np.where(choice >= 0.5, found.upper_codes, found.lower_codes).astype("uint8")


def solved_tables(
    books: Books, gram: np.ndarray, codes: np.ndarray, tables: np.ndarray
) -> np.ndarray:
    """The levels of least output error for these codes; those that no weight has stay."""
    found = tables.copy()
    goal = gram @ books.weight
    scale = np.broadcast_to(books.scale, codes.shape)
    for book in range(len(tables)):
        products = np.zeros((tables.shape[1],) * 2)
        sums = np.zeros(tables.shape[1])
        for output in np.flatnonzero(books.members == book):
            chosen = np.eye(tables.shape[1])[codes[:, output]] * scale[:, output, None]
            products += chosen.T @ gram @ chosen
            sums += chosen.T @ goal[:, output]
        used = np.diag(products) > 0.0
        ridge = 1e-6 * np.diag(products)[used]
        system = products[np.ix_(used, used)] + np.diag(ridge)
        found[book, used] = np.linalg.solve(system, sums[used] + ridge * tables[book, used])
    return found

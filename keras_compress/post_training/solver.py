"""Base of what finds the codes of one weight matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._block import Block
from keras_compress.post_training.layer_problem import LayerProblem
from keras_reweight.core.configured_value import ConfiguredValue


class Solver(ConfiguredValue):
    """Base of solvers: find the codes of one weight matrix without training the model.

    Subclass it for a method of your own: `solve` gets a `LayerProblem` of plain NumPy arrays and
    returns a `QuantizedMatrix` (`problem.stored(codes, grid)` makes one). `needs` names the
    statistics that `post_training.quantize` must collect for it:

    - `"gram"`, `2 X^T X / n` of the inputs, and `"mean_abs"`, their mean absolute value;
    - `"cross"`, `2 (X0 - X)^T X / n` with the inputs `X0` in the float model;
    - `"inputs"`, at most `max_samples` rows of the inputs, spread over the data;
    - `"outputs"`, `targets`, what the float model computes from these rows before the bias;
    - `"gradient"`, of the loss with respect to the weights of the float model;
    - `"block"`, no number but a call: `solve_together` gets all layers that read the same inputs
      at once, and the `Block` around them that can say what their kernels do to its output.

    Solvers store their arguments under their own names, keep no state and are deterministic.

    Args:
        None.

    Returns:
        An object whose `solve(problem)` gives a `QuantizedMatrix`.

    Raises:
        NotImplementedError: In `solve` of the base itself.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    @keras.saving.register_keras_serializable(package="example")
    class HalfRange(kc.post_training.Solver):
        def solve(self, problem):
            half = 2 ** (problem.bits - 1)
            scale = np.abs(problem.weight).max(axis=0, keepdims=True) / half
            grid = kc.grids.AffineGrid(problem.bits, scale=scale, zero_point=half)
            return problem.stored(grid.encode(problem.weight), grid)

    problem = kc.post_training.LayerProblem(np.array([[0.5], [-1.0]]), bits=2)
    assert HalfRange().solve(problem).values().tolist() == [[0.5], [-1.0]]
    ```

    Reference:
        None; the base class of solvers.
    """

    #: The statistics to collect.
    needs: ClassVar[frozenset[str]] = frozenset()
    #: Rows of inputs kept for `"inputs"` and `"outputs"`.
    max_samples: ClassVar[int] = 2048

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        """Codes and grid for `problem.weight`."""
        raise NotImplementedError(f"{type(self).__name__} must define solve(problem).")

    def solve_together(
        self, problems: Sequence[LayerProblem], block: Block | None = None
    ) -> list[QuantizedMatrix]:
        """Solutions of problems with the same inputs, one after the other unless overridden.

        Args:
            problems: Those of the layers in `block.layers`, in this order.
            block: What is around the layers; `None` if nothing is.
        """
        return [self.solve(problem) for problem in problems]

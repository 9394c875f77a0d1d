"""Base of solvers that change the problem and leave the codes to another solver."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.post_training.solver import Solver


class WrappingSolver(Solver):
    """A solver with a `solver` inside, which is stored in its config."""

    solver: Any

    @property
    def own_needs(self) -> frozenset[str]:
        """The statistics that the wrapper itself asks for."""
        return frozenset()

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The statistics to collect: those of both; the solver inside gets one problem each."""
        inner = frozenset() if self.solver is None else frozenset(self.solver.needs) - {"block"}
        return self.own_needs | inner

    @property
    def max_samples(self) -> int:  # type: ignore[override]
        """Rows of inputs kept for `"inputs"` and `"outputs"`."""
        return Solver.max_samples if self.solver is None else self.solver.max_samples

    @classmethod
    def from_config(cls, config: dict):
        config = dict(config)
        if isinstance(config.get("solver"), dict):
            config["solver"] = keras.saving.deserialize_keras_object(config["solver"])
        return cls(**config)


def check_solver(solver: Any, *, optional: bool = False) -> None:
    """Raise unless `solver` is a `Solver` object."""
    if isinstance(solver, Solver) or (optional and solver is None):
        return
    wanted = "a Solver or None" if optional else "a Solver"
    raise TypeError(f"`solver` must be {wanted}, such as GPTQ(), got {solver!r}.")

"""Where a row may break the contract: one strict expected failure each, with its reason.

A key is `(row, check)`. The value is the reason, or a dict from backend to reason for a failure
on some backends only. An entry whose check passes fails the suite, and so does one that names
nothing.
"""

from __future__ import annotations

_BETWEEN_BATCHES = "masks change between two executions, so the steps of one share their masks"
_NOT_ON_TORCH = {"jax": _BETWEEN_BATCHES, "tensorflow": _BETWEEN_BATCHES}

_MEMORY = "`memory` is the table of samples itself; a config holds no data"

EXCEPTIONS: dict[tuple[str, str], str | dict[str, str]] = {
    ("Curriculum", "config_is_complete"): _MEMORY,
    ("EL2NReweight", "config_is_complete"): (
        "`scoring_data` is the data set itself; a config holds no data"
    ),
    ("EvaluatePatched", "two_outputs"): (
        "a patch is made for one architecture; that of the row has one output"
    ),
    ("LossHistoryReweight", "config_is_complete"): _MEMORY,
    ("MagnitudePruning", "steps_per_execution"): _NOT_ON_TORCH,
    ("Pruning", "steps_per_execution"): _NOT_ON_TORCH,
    ("SampleRecorder", "config_is_complete"): _MEMORY,
    ("ScoreReweight", "config_is_complete"): _MEMORY,
    ("SelfPaced", "config_is_complete"): _MEMORY,
    ("WeightAligning", "validation_is_left_alone"): (
        "the weights are aligned when training has ended, after the last validation"
    ),
    ("grad_scale", "knob_changes_the_result"): (
        "`scale` acts on the gradient alone, which has its own check"
    ),
}

"""Which checks a row gets: those of its kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from keras_reweight.core.testing import (
    checks_callback,
    checks_common,
    checks_function,
    checks_layer,
    checks_loss,
    checks_object,
    checks_optimizer,
    checks_schedule,
    checks_weighting,
)
from keras_reweight.core.testing.catalog import KINDS, Row

_CHECKS = {
    "base": checks_common.DOCUMENTED,
    "callback": checks_callback.CHECKS,
    "function": checks_function.CHECKS,
    "layer": checks_layer.CHECKS,
    "loss": checks_loss.CHECKS,
    "object": checks_object.CHECKS,
    "optimizer": checks_optimizer.CHECKS,
    "quantizer": checks_layer.QUANTIZER_CHECKS,
    "record": checks_common.DOCUMENTED,
    "schedule": checks_schedule.CHECKS,
    "weighting": checks_weighting.CHECKS,
}
assert set(_CHECKS) == set(KINDS)


def checks_for(row: Row) -> Iterator[tuple[str, Callable[[], dict[str, np.ndarray] | None]]]:
    """Name and callable of every check of a row.

    The docstring is checked once, not for every configuration of a target. What has no
    `get_config` (a table, a callback that holds data) is no part of a saved file.

    A check raises `AssertionError` where the contract is broken. Some return named arrays, which
    must be the same on every backend.
    """
    left_out = () if row.is_main else checks_common.DOCUMENTED
    if not hasattr(row.target, "get_config"):
        left_out += checks_common.CONFIGURABLE
    for check in _CHECKS[row.kind]:
        if check in left_out:
            continue
        yield check.__name__.removeprefix("check_"), functools.partial(_run, check, row)


def _run(check, row):
    try:
        return check(row)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{row.name}: {type(error).__name__}: {error}") from error

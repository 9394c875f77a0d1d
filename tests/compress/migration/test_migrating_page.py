"""The page about tfmot: its code runs, and no public name of tfmot's pruning is left out."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.migration.test_load_tfmot_weights import WEIGHTS, model
from tests.test_readme import python_blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "migrating_from_tfmot.md"
TEXT = PAGE.read_text(encoding="utf-8")
#: `tensorflow_model_optimization.sparsity.keras` of version 0.8.1, and what belongs to it.
NAMES = (
    "ConstantSparsity",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneForLatencyOnXNNPack",
    "PruneLowMagnitude",
    "PruneRegistry",
    "PruningPolicy",
    "PruningSchedule",
    "PruningSummaries",
    "UpdatePruningStep",
    "block_pooling_type",
    "block_size",
    "prune_low_magnitude",
    "prune_scope",
    "sparsity_m_by_n",
    "strip_pruning",
)


@pytest.fixture(scope="module")
def namespace():
    """After the code of the page has run, from top to bottom."""
    names = {"__name__": "migrating"}
    for _, source in python_blocks(TEXT):
        exec(compile(source, PAGE.name, "exec"), names)
    return names


def test_the_code_runs(namespace):
    report = kc.sparsity_report(namespace["model"])
    shares = {row.path.split("/")[-2]: row.sparsity for row in report.variables if row.prunable}
    assert shares == {"hidden": 0.5, "out": 0.75}
    assert namespace["history"].history["sparsity"][-1] == pytest.approx(report.sparsity)


def test_the_predicate_for_xnnpack(namespace):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(4, 3, kernel_initializer="zeros"),
            layers.Conv2D(8, 1, kernel_initializer="zeros"),
        ]
    )
    report = kc.pruning.prune_weights(network, 0.8, layers=namespace["for_xnnpack"])
    assert list(report.touched) == [network.layers[1].kernel.path]


def test_weights_are_taken_along(namespace):
    masks, _ = namespace["load"](model(), WEIGHTS)
    assert len(masks) == 5
    assert all(abs(np.mean(mask) - 0.25) < 0.02 for mask in masks.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_row(name):
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    assert any(name in row.split("|")[1] for row in rows)

import numpy as np
import pytest
from keras import ops

from keras_compress.dynamic import channel_targets

HEATS = np.array([[4.0, 3.0, 2.0, 1.0], [9.0, 0.5, 0.5, 0.0]], "float32")


def reference_targets(heat, share, kind="mass"):
    """Channel by channel, strongest first."""
    targets = np.zeros(heat.shape)
    for sample, row in enumerate(heat.astype("float64")):
        if row.sum() <= 0:
            targets[sample] = 1.0
            continue
        mass = row / row.sum()
        if kind == "mass":
            carried, kept = 0.0, []
            for channel in sorted(range(len(row)), key=lambda channel: -row[channel]):
                if kept and carried >= share - 1e-5:
                    break
                kept.append(channel)
                carried += mass[channel]
        else:
            drop = int((1.0 - share) * len(row) + 1e-9)
            kept = sorted(range(len(row)), key=lambda channel: row[channel])[drop:]
        targets[sample, [channel for channel in kept if mass[channel] > 1e-5]] = 1.0
    return targets


@pytest.mark.parametrize(
    ("share", "kind", "expected"),
    [
        # The official code gives four zeros for the second sample: its first channel alone
        # carries more than the share.
        (0.7, "mass", [[1, 1, 0, 0], [1, 0, 0, 0]]),
        (0.9, "mass", [[1, 1, 1, 0], [1, 0, 0, 0]]),
        (1.0, "mass", [[1, 1, 1, 1], [1, 1, 1, 0]]),
        (0.5, "uniform", [[1, 1, 0, 0], [1, 0, 1, 0]]),
    ],
)
def test_the_vectors_of_the_official_code(share, kind, expected):
    found = ops.convert_to_numpy(channel_targets(HEATS, share, kind=kind))
    assert found.tolist() == expected
    assert reference_targets(HEATS, share, kind).tolist() == expected


@pytest.mark.parametrize("kind", ["mass", "uniform"])
def test_random_heats(kind):
    heat = np.random.default_rng(0).exponential(size=(20, 10)).astype("float32")
    heat[3], heat[4, 2:] = 0.0, 0.0
    for share in (0.05, 0.3, 0.9, 1.0):
        found = ops.convert_to_numpy(channel_targets(heat, share, kind=kind))
        np.testing.assert_array_equal(found, reference_targets(heat, share, kind))
        assert (found[3] == 1).all() and found.any(axis=1).all()

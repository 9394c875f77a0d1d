"""On several devices schedulers do what they do on one, or exactly what the page says."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np

from tests.distribution import training

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments, flags=""):
    """A process on several devices."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    return subprocess.Popen(
        [sys.executable, training.__file__, *map(str, arguments)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    try:
        output, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, output[-3000:]


def assert_equal(found, expected, names=training.NAMES):
    keys = [key for key in expected if key.split("/")[0] in names]
    assert len(keys) > len(names)
    for key in keys:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=1e-6, err_msg=key)


def in_halves(epochs=training.EPOCHS):
    """Softmax regression with LinUpper weights of each half of a batch, by hand."""
    kernel, bias = training.KERNEL.astype("float64"), np.zeros(3)
    for _ in range(epochs):
        for start in range(0, training.N, training.BATCH):
            rows = np.arange(start, start + training.BATCH)
            x, hot = training.X[rows].astype("float64"), np.eye(3)[training.Y[rows]]
            p = np.exp(x @ kernel + bias)
            p /= p.sum(1, keepdims=True)
            losses = -np.log((p * hot).sum(1))
            weights = np.concatenate([_lin_upper(part, 0.4) for part in np.split(losses, 2)])
            delta = weights[:, None] * (p - hot) / len(rows)
            kernel, bias = kernel - 0.4 * x.T @ delta, bias - 0.4 * delta.sum(0)
    return kernel


def _lin_upper(losses, temperature):
    from tests.reweight.weightings.test_lin_upper import reference

    return len(losses) * reference(losses, temperature)


def test_several_devices(tmp_path):
    backend, path = keras.backend.backend(), tmp_path / "found.npz"
    if backend == "jax":
        finish(run("jax", path, flags=os.environ["XLA_FLAGS"].replace("count=2", "count=8")))
        assert_equal(training.load(path), training.train_all())
    elif backend == "tensorflow":
        finish(run("mirrored", path))
        found = training.load(path)
        assert_equal(found, training.train_all(), ["loss_history"])
        kernel = found["reweight/kernel"]
        np.testing.assert_allclose(kernel, in_halves(), rtol=1e-4, atol=1e-5)
        assert "Use one replica" in str(found["group_dro/error"])
        assert "`memory` must be None" in str(found["table/error"])
    else:
        paths = [tmp_path / "first.npz", tmp_path / "second.npz"]
        meeting = tmp_path / "meeting"
        processes = [run("ddp", paths[rank], rank, meeting) for rank in range(2)]
        for process in processes:
            finish(process)
        expected = training.train("loss_history")
        keys = ("kernel", "table_weight", "table_loss")
        expected = {f"loss_history/{key}": expected[f"loss_history/{key}"] for key in keys}
        for path in paths:
            assert_equal(training.load(path), expected, ["loss_history"])


def test_in_halves_is_not_the_whole_batch():
    """The check above can tell a replica's weights from those of the global batch."""
    whole = training.train("reweight")["reweight/kernel"]
    assert np.abs(in_halves() - whole).max() > 0.01

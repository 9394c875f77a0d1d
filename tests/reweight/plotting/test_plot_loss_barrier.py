import numpy as np
import pytest
from matplotlib.figure import Figure

import keras_reweight as kr
from keras_reweight.core.mode_connectivity import ModeConnectivity

T = np.linspace(0, 1, 3)
HIGH, LOW = ModeConnectivity(T, np.array([0.2, 1.0, 0.4])), ModeConnectivity(T, 0.1 + 0.2 * T)


def test_curves_their_ends_and_their_barriers(tmp_path):
    ax = kr.plotting.plot_loss_barrier({"before": HIGH, "after": LOW}, label="error")
    curve, ends, *_ = ax.lines
    np.testing.assert_array_equal(curve.get_ydata(), HIGH.values)
    np.testing.assert_array_equal(ends.get_ydata(), [0.2, 0.4])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["before, barrier 0.7", "after, barrier 0"]
    assert ax.get_ylabel() == "error"
    ax.figure.savefig(tmp_path / "barrier.png")
    assert (tmp_path / "barrier.png").stat().st_size > 5_000


def test_one_curve_on_given_axes():
    ax = Figure().subplots()
    assert kr.plotting.plot_loss_barrier(HIGH, ax=ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["barrier 0.7"]


def test_no_curves():
    with pytest.raises(ValueError, match="at least one curve"):
        kr.plotting.plot_loss_barrier({})
    with pytest.raises(TypeError, match="ModeConnectivity"):
        kr.plotting.plot_loss_barrier({"before": [1.0, 2.0]})

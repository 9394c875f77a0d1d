"""Pictures of samples, weights and groups; they need the extra `plot`."""

from keras_reweight.plotting.data_map import data_map
from keras_reweight.plotting.group_curves import group_curves
from keras_reweight.plotting.plot_loss_barrier import plot_loss_barrier
from keras_reweight.plotting.weight_histogram import weight_histogram

__all__ = ["data_map", "group_curves", "plot_loss_barrier", "weight_histogram"]

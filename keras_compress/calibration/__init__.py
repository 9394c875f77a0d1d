"""What calibration data tell about the inputs of layers."""

from keras_compress.calibration.collect_input_statistics import collect_input_statistics
from keras_compress.calibration.input_statistics import InputStatistics

__all__ = ["InputStatistics", "collect_input_statistics"]

"""Looking at weights: what changed, how good filters are, how heavy the tails of spectra."""

from keras_reweight.analysis.filter_quality import FilterQualityReport, filter_quality
from keras_reweight.analysis.spectral_report import SpectralReport, spectral_report
from keras_reweight.analysis.weight_report import WeightReport, weight_report
from keras_reweight.core.feature_cka import feature_cka
from keras_reweight.core.hill_alpha import hill_alpha
from keras_reweight.core.linear_cka import linear_cka

__all__ = [
    "FilterQualityReport",
    "SpectralReport",
    "WeightReport",
    "feature_cka",
    "filter_quality",
    "hill_alpha",
    "linear_cka",
    "spectral_report",
    "weight_report",
]

"""Reports about weights: what changed, filters, spectra."""

from __future__ import annotations

import functools

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.analysis import test_filter_quality, test_spectral_report, test_weight_report
from tests.reweight.signatures import models

_NO_MODEL = ({"model": "model"}, TypeError, "model")
_LAYERS = ({"layers": "missing"}, ValueError, "layers")


def _change(report):
    return {
        row.path: {name: getattr(row, name) for name in ("relative", "largest", "cosine")}
        for row in report.layers
    }


def _filters(model):
    """The numbers of `filter_quality` for the two convolutions, by the formulas."""
    kernels = {name: model.get_layer(name).kernel for name in ("early", "late")}
    return {
        name: test_filter_quality.reference(np.asarray(kernel, "float64"), 0.2)
        for name, kernel in kernels.items()
    }


def _filters_found(report):
    return {
        row.path: {name: getattr(row, name) for name in test_filter_quality.NAMES}
        for row in report.layers
    }


def _logged(model):
    found = _filters(model)
    names = ("sparsity", "variance_entropy", "normalized_entropy", "orthogonality")
    return {
        **{name: np.mean([rows[name] for rows in found.values()]) for name in names},
        **{f"{path}/{name}": rows[name] for path, rows in found.items() for name in names},
    }


# Nobody here changes a model, so that one of each is enough.
_dense = functools.cache(lambda: models.dense(units=24))
_convolutions = functools.cache(models.functional)
_before, _after = (functools.cache(functools.partial(models.regularized, seed)) for seed in (0, 1))


def _spectrum(model):
    return test_spectral_report.reference(np.asarray(model.get_layer("second").kernel, "float64"))


def _spectrum_found(report):
    (row,) = report.kernels
    return {name: getattr(row, name) for name in test_spectral_report.NAMES}


ROWS = [
    Row(kr.analysis.WeightReport, "record"),
    Row(kr.analysis.FilterQualityReport, "record"),
    Row(kr.analysis.SpectralReport, "record"),
    Row(
        kr.analysis.weight_report,
        "function",
        inputs=lambda: {"before": _before(), "after": _after()},
        arguments={"batch_norm": "statistics"},
        outcome=_change,
        knob={"layers": "head"},
        reference=test_weight_report.reference,
        bad_arguments=(
            _LAYERS,
            ({"before": models}, TypeError, "before"),
            ({"after": None}, TypeError, "after"),
            ({"batch_norm": "all"}, ValueError, "batch_norm"),
        ),
    ),
    Row(
        kr.analysis.filter_quality,
        "function",
        inputs=lambda: {"model": _convolutions()},
        arguments={"threshold": 0.2},
        outcome=_filters_found,
        knob={"threshold": 0.6},
        reference=_filters,
        bad_arguments=(
            _NO_MODEL,
            _LAYERS,
            ({"threshold": 1.0}, ValueError, "threshold"),
            ({"threshold": "small"}, TypeError, "threshold"),
        ),
    ),
    Row(
        kr.analysis.spectral_report,
        "function",
        inputs=lambda: {"model": _dense()},
        arguments={"layers": "second", "xmin": "median", "min_eigenvalues": 2},
        outcome=_spectrum_found,
        knob={"xmin": "best"},
        reference=_spectrum,
        bad_arguments=(
            _NO_MODEL,
            _LAYERS,
            ({"xmin": "mean"}, ValueError, "xmin"),
            ({"min_eigenvalues": 1}, ValueError, "min_eigenvalues"),
        ),
    ),
    # It changes nothing and needs convolutions: what it logs is what there is to check.
    Row(
        kr.callbacks.FilterQualityLogger,
        "object",
        inputs=lambda: {"model": _convolutions()},
        arguments={"threshold": 0.2, "scope": "layer", "name": "filters"},
        outcome=lambda logger, model: {
            name.removeprefix("filters/"): value for name, value in logger.measure(model).items()
        },
        knob={"threshold": 0.6},
        reference=_logged,
        accepts_any=("name",),
        bad_arguments=(
            _LAYERS,
            ({"threshold": -0.1}, ValueError, "threshold"),
            ({"scope": "word"}, ValueError, "scope"),
        ),
    ),
]

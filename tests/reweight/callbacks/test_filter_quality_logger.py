import numpy as np
import pytest

from keras_reweight.analysis import filter_quality
from keras_reweight.callbacks import FilterQualityLogger
from tests.reweight.signatures import models


def test_the_present_filters_are_logged():
    model, logger = models.sequential(), FilterQualityLogger(scope="layer")
    logger.set_model(model)
    for _ in range(2):
        logs = {"loss": 1.0}
        logger.on_epoch_end(0, logs)
        (row,) = filter_quality(model).layers
        for name in ("sparsity", "variance_entropy", "normalized_entropy", "orthogonality"):
            for key in (f"filters/{name}", f"filters/early/{name}"):
                assert logs[key] == pytest.approx(getattr(row, name))
        assert len(logs) == 9
        kernel = model.get_layer("early").kernel
        kernel.assign(np.asarray(kernel) ** 3)
    logger.on_train_end()
    assert len(FilterQualityLogger().measure(model)) == 4


def test_a_model_without_convolutions_is_refused_before_training():
    model = models.dense()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no convolution"):
        model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0, callbacks=[FilterQualityLogger()])
    np.testing.assert_array_equal(model.get_weights()[0], models.dense().get_weights()[0])

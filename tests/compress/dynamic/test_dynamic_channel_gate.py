import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.dynamic import channel_targets, set_gate_weight
from keras_compress.layers import DynamicChannelGate
from keras_reweight.core.state import sync_model

X = np.random.default_rng(0).normal(size=(6, 5, 5, 3)).astype("float32")


def block(filters=4):
    return keras.Sequential(
        [
            keras.layers.Conv2D(filters, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ],
        name="block",
    )


def built(layer=None, **arguments):
    keras.utils.set_random_seed(0)
    gate = DynamicChannelGate(layer or block(), **arguments)
    gate.build(X.shape)
    rng = np.random.default_rng(1)
    gate.head.kernel.assign(rng.normal(size=gate.head.kernel.shape, scale=3.0))
    return gate


def softmax(values):
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)


def reference_logits(pooled, kernel, bias):
    return softmax(pooled) @ kernel + bias


def reference_gates(logits):
    return ((logits > 0) | (logits == logits.max(axis=-1, keepdims=True))).astype("float64")


def reference_loss(logits, targets):
    """Binary cross-entropy, summed over channels, averaged over samples."""
    p = 1.0 / (1.0 + np.exp(-logits))
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(axis=-1).mean()


def numpy_of(value):
    return ops.convert_to_numpy(ops.convert_to_tensor(value)).astype("float64")


@pytest.mark.parametrize("kind", ["mass", "uniform"])
def test_output_loss_and_running_share(kind):
    gate = built(share=0.6, kind=kind, weight=0.5)
    found = numpy_of(gate(X, training=True))
    twin = built()
    plain = numpy_of(twin.layer(X, training=True))
    head = [numpy_of(v) for v in gate.head.weights]
    logits = reference_logits(X.astype("float64").mean(axis=(1, 2)), *head)
    gates = reference_gates(logits)
    np.testing.assert_allclose(found, plain * gates[:, None, None, :], rtol=1e-5, atol=1e-6)
    assert (found[:, 0, 0][gates == 0] == 0).all() and 0 < gates.mean() < 1
    targets = numpy_of(channel_targets(plain.max(axis=(1, 2)).astype("float32"), 0.6, kind=kind))
    (loss,) = gate.losses
    np.testing.assert_allclose(numpy_of(loss), 0.5 * reference_loss(logits, targets), rtol=1e-5)
    running = 0.9 + 0.1 * gates.mean()
    np.testing.assert_allclose(numpy_of(gate.active_fraction), running, rtol=1e-6)


def test_inference_adds_no_loss_and_counts_nothing():
    gate = built()
    gate(X)
    assert not gate.losses and float(numpy_of(gate.active_fraction)) == 1.0


def test_no_sample_loses_all_channels():
    gate = built()
    gate.head.bias.assign(np.full(4, -100.0))
    gates = []
    gate.observer = lambda found: gates.append(numpy_of(found))
    gate(X)
    assert gates[0].sum(axis=1).tolist() == [1.0] * 6


def fit(model, **arguments):
    y = X.mean(axis=(1, 2))[:, :1]
    return model.fit(X, y, batch_size=3, shuffle=False, verbose=0, **arguments)


def gated_model(**arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5, 5, 3)),
            keras.layers.Conv2D(3, 1, name="before"),
            DynamicChannelGate(block(), name="gate", **arguments),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def test_only_joint_gates_change_what_comes_before():
    moved = {}
    for mode in ("decoupled", "joint"):
        model = gated_model(mode=mode)
        model.layers[-1].kernel.assign(np.zeros((4, 1)))
        model.layers[-1].trainable = False
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
        before = numpy_of(model.get_layer("before").kernel)
        head = numpy_of(model.get_layer("gate").head.bias)
        fit(model)
        # The task is out of the way, so what moves is moved by the loss of the head.
        moved[mode] = np.abs(numpy_of(model.get_layer("before").kernel) - before).max()
        assert np.abs(numpy_of(model.get_layer("gate").head.bias) - head).max() > 0
    assert moved["decoupled"] == 0 < moved["joint"]


def test_the_task_reaches_the_head_without_its_loss():
    model = gated_model(weight=0.0)
    model.run_eagerly = True
    head = numpy_of(model.get_layer("gate").head.kernel)
    fit(model)
    assert np.abs(numpy_of(model.get_layer("gate").head.kernel) - head).max() > 0


def test_the_weight_cools_down_inside_a_fit():
    class CoolDown(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            set_gate_weight(self.model, float(epoch < 1))

        def on_epoch_end(self, epoch, logs=None):
            sync_model(self.model)
            heads.append(numpy_of(self.model.get_layer("gate").head.bias))

    heads = []
    model = gated_model()
    model.layers[-1].kernel.assign(np.zeros((4, 1)))
    model.layers[-1].trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse")
    fit(model, epochs=3, callbacks=[CoolDown()])
    assert (heads[0] != 0).any()
    np.testing.assert_array_equal(heads[0], heads[1])
    np.testing.assert_array_equal(heads[1], heads[2])
    assert 0 < float(numpy_of(model.get_layer("gate").active_fraction)) < 1


def test_saving_keeps_everything(tmp_path):
    model = gated_model(share=0.5, kind="uniform", mode="joint", weight=0.25)
    model.run_eagerly = True
    fit(model)
    set_gate_weight(model, 0.125)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(numpy_of(model(X)), numpy_of(loaded(X)), rtol=1e-6)
    gate = loaded.get_layer("gate")
    assert (gate.share, gate.kind, gate.mode, gate.weight) == (0.5, "uniform", "joint", 0.25)
    assert float(numpy_of(gate.loss_weight)) == 0.125


def test_padding_counts_neither_for_the_head_nor_for_the_targets():
    keras.utils.set_random_seed(0)
    gate = DynamicChannelGate(keras.layers.Dense(4, activation="relu"), share=0.5)
    sequence = np.random.default_rng(2).normal(size=(2, 5, 3)).astype("float32")
    gate.build(sequence.shape)
    mask = np.array([[True, True, True, False, False]] * 2)
    other = sequence.copy()
    other[:, 3:] = 50.0
    results = []
    for inputs in (sequence, other):
        outputs = gate(inputs, mask=ops.convert_to_tensor(mask), training=True)
        results.append((numpy_of(outputs)[:, :3], numpy_of(gate.losses[0])))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6)
    assert gate.compute_mask(sequence, mask) is mask


def test_layers_without_channels_are_refused():
    with pytest.raises(ValueError, match="channels on its last axis"):
        DynamicChannelGate(keras.layers.LSTM(3, return_state=True)).build((2, 4, 5))

import copy
import json
import pathlib

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import shared, start
from tests.reweight.signatures import models


class Calls:
    """Drives a callback as `fit` would, without training: a step is one addition."""

    def __init__(self, collector, seed=0):
        self.model, self.collector = shared(), collector
        start().restore(self.model)
        if seed:
            self.model.weights[1].assign(np.full(5, seed, "float32"))
        collector.set_model(self.model)

    def run(self, epochs, first=0, values=None):
        digests = {}
        self.collector.on_train_begin()
        for epoch in range(first, epochs):
            self.collector.on_epoch_begin(epoch)
            self.model.weights[0].assign_add(np.full((3, 5), 0.25, "float32"))
            digests[epoch] = kr.weight_digest(self.model)
            logs = None if values is None else {"val_accuracy": values[epoch], "loss": 1.0}
            self.collector.on_epoch_end(epoch, logs)
        self.collector.on_train_end()
        return digests


@pytest.fixture(autouse=True)
def leave_the_models():
    yield
    for place in (0, 1):
        start(place).restore(shared(place))


def epochs_of(collector):
    return [int(pathlib.Path(path).name[6:10]) for path in collector.files]


def weights_in(collector):
    model, found = shared(1), []
    for path in collector.files:
        model.load_weights(path)
        found.append(kr.weight_digest(model))
    return found


def test_the_last_epochs(tmp_path):
    collector = kr.merging.SoupCollector(tmp_path / "new", every=2, keep=2)
    digests = Calls(collector).run(7)
    assert epochs_of(collector) == [3, 5]
    assert weights_in(collector) == [digests[3], digests[5]]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "epoch-0003.weights.h5",
        "epoch-0005.weights.h5",
        "soup.json",
    ]


def test_the_best_epochs(tmp_path):
    values = [0.1, 0.9, float("nan"), 0.5, 0.7, 0.2]
    for mode, wanted in (("auto", [1, 4]), ("max", [1, 4]), ("min", [0, 5])):
        collector = kr.merging.SoupCollector(
            tmp_path / mode, keep=2, monitor="val_accuracy", mode=mode
        )
        Calls(collector).run(6, values=values)
        assert epochs_of(collector) == wanted


def test_all_epochs_and_the_soup_of_them(tmp_path):
    collector = kr.merging.SoupCollector(tmp_path, keep=None)
    calls = Calls(collector)
    calls.run(4)
    soup = kr.merging.uniform_soup(calls.model, collector.files)
    np.testing.assert_allclose(soup.delta(0), -0.375, rtol=1e-5)


def test_resumed_in_a_new_process(tmp_path):
    whole = kr.merging.SoupCollector(tmp_path / "whole", keep=3)
    digests = Calls(whole).run(5)
    first = kr.merging.SoupCollector(tmp_path / "part", keep=3)
    calls = Calls(first)
    calls.run(3)
    second = kr.merging.SoupCollector.from_config(first.get_config())
    assert second.files == first.files
    calls.collector = second
    second.set_model(calls.model)
    calls.run(5, first=3)
    assert epochs_of(second) == epochs_of(whole) == [2, 3, 4]
    assert weights_in(second) == weights_in(whole) == [digests[e] for e in (2, 3, 4)]


def test_a_new_training_replaces_the_files_of_an_old_one(tmp_path):
    collector = kr.merging.SoupCollector(tmp_path, keep=4)
    Calls(collector).run(4)
    other = tmp_path / "mine.weights.h5"
    other.write_bytes(b"not ours")
    digests = Calls(copy.deepcopy(collector), seed=5).run(2)
    assert weights_in(collector) == [digests[0], digests[1]] and other.exists()


def test_a_failing_write_leaves_the_list_and_no_half_file(tmp_path, monkeypatch):
    collector = kr.merging.SoupCollector(tmp_path, keep=2)
    calls = Calls(collector)
    calls.run(2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        calls.run(3, first=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_in_a_training(tmp_path):
    model = models.dense()
    model.compile("sgd", "mse", run_eagerly=keras.backend.backend() == "tensorflow")
    x, y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
    collector = kr.merging.SoupCollector(tmp_path, keep=1, monitor="loss")
    last = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: last.append(kr.weight_digest(collector.model))
    )
    model.fit(x, y, epochs=2, verbose=0, callbacks=[collector, note])
    (file,) = collector.files
    other = shared()
    start().restore(other)
    with kr.merging.wise_ft(other, file, alpha=1.0).patched(other):
        assert kr.weight_digest(other) in last


def test_a_damaged_list_is_refused(tmp_path):
    collector = kr.merging.SoupCollector(tmp_path)
    Calls(collector).run(1)
    entry = json.loads((tmp_path / "soup.json").read_text())[0]
    for content in ("[", "3", json.dumps([{**entry, "file": "../epoch-0000.weights.h5"}])):
        (tmp_path / "soup.json").write_text(content)
        with pytest.raises(ValueError, match=r"soup\.json"):
            _ = collector.files


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    (
        ({"directory": ""}, ValueError, "`directory`"),
        ({"directory": 3}, TypeError, "`directory`"),
        ({"every": 0}, ValueError, "`every`"),
        ({"keep": 0}, ValueError, "`keep`"),
        ({"monitor": 3}, TypeError, "`monitor`"),
        ({"monitor": "val_bleu"}, ValueError, "`mode`='auto' cannot tell"),
        ({"mode": "best"}, ValueError, "`mode`"),
    ),
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        kr.merging.SoupCollector(**{"directory": "soups", **arguments})


def test_a_monitor_that_is_not_logged(tmp_path):
    collector = kr.merging.SoupCollector(tmp_path, monitor="val_loss")
    with pytest.raises(ValueError, match="`monitor`='val_loss' is not in the logs"):
        Calls(collector).run(1)

"""How accurate a model is under attacks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.adversarial._masking import follows_gradients, signs_among, signs_of
from keras_reweight.adversarial.robust_report import ALL, CLEAN, RobustReport
from keras_reweight.attacks.attack import Attack
from keras_reweight.attacks.attack_loss import is_correct
from keras_reweight.attacks.fgsm import FGSM
from keras_reweight.core.batches import batch_length, iterate_batches, num_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.labels import class_ids
from keras_reweight.core.validation import check_boolean, check_built, check_integer

#: Samples on which a search for masked gradients runs.
_CHECKED = 256


def evaluate_robust(
    model: keras.Model,
    data: Any,
    attacks: Mapping[str, Attack] | Sequence[Attack] | Attack,
    *,
    batch_size: int = 128,
    check_masking: bool = True,
    verbose: bool = True,
) -> RobustReport:
    """Accuracy of a classifier: clean, under each attack, under all, per class, worst classes.

    Robustness is only as good as the best attack that was tried. Give several: `APGD` with the
    cross-entropy and with `loss="dlr"`, and a `TransferAttack`. A model may also hide its
    gradients, which stops attacks that follow them, but nobody else. So the function warns, and
    the report keeps the warning, where

    - a transfer attack or a single step wins over an attack of several steps in the same ball;
    - with `check_masking`: five times as many random restarts of the strongest attack, or one step
      of it, win over it, or it leaves more than 5 % in a ball so large that it holds every input.
      These run on the first 256 samples; attacks without a `ball` are left alone.

    Args:
        model: A built `keras.Model` with one output of shape `(batch, classes)`.
        data: `(x, y)` of arrays, or batches of such: a `keras.utils.PyDataset`, `tf.data.Dataset`
            or torch `DataLoader`. Labels as class ids or one-hot.
        attacks: Dict of `Attack`s by name, a sequence of them or one.
        batch_size: Integer, for arrays. Defaults to `128`.
        check_masking: Boolean, look for masked gradients. Defaults to `True`.
        verbose: Boolean, show a progress bar. Defaults to `True`.

    Returns:
        A `RobustReport`; `print` shows it as a table.

    Raises:
        TypeError: If `model` is no model, or `attacks` are no attacks.
        ValueError: If `model` is not built or no classifier, `attacks` is empty, has two of one
            name or a targeted one, or `data` has no labels, or weights of samples.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    x, y = np.random.default_rng(0).uniform(size=(16, 4)).astype("float32"), np.arange(16) % 2
    attacks = {"FGSM": kr.attacks.FGSM(0.1), "PGD": kr.attacks.PGD(0.1, steps=5)}
    report = kr.adversarial.evaluate_robust(
        model, (x, y), attacks, check_masking=False, verbose=False
    )
    assert report.accuracy("all attacks") <= report.accuracy("clean")
    ```

    Reference:
        Athalye et al., "Obfuscated Gradients Give a False Sense of Security", ICML 2018, arXiv
        1802.00420, section 3.1; Croce and Hein, ICML 2020, arXiv 2003.01690.

    Cost:
        That of the attacks. The check costs six times the strongest one on 256 samples.
    """
    check_built(model, "evaluate_robust")
    named = _named(attacks)
    check_integer("batch_size", batch_size, minimum=1)
    check_boolean("check_masking", check_masking)
    check_boolean("verbose", verbose)
    batches: list[tuple[Any, Any]] = []
    labels: list[np.ndarray] = []
    right: dict[str, list[np.ndarray]] = {name: [] for name in (CLEAN, *named)}
    total = num_batches(data, batch_size)
    count = None if total is None else total * (len(named) + 1)
    bar = keras.utils.Progbar(count) if verbose else None
    clean = _clean(model)
    for number, (x, y, sample_weight) in enumerate(iterate_batches(data, batch_size)):
        _check_batch(data, y, sample_weight)
        ids, found = (ops.convert_to_numpy(part) for part in clean(*_inputs(model, x, y)))
        labels.append(ids)
        right[CLEAN].append(found)
        if bar is not None:
            bar.add(1)
        for name, attack in named.items():
            right[name].append(found & _right(model, attack, x, y, number))
            if bar is not None:
                bar.add(1)
        if sum(len(one) for one in labels) - len(ids) < _CHECKED:
            batches.append((x, y))
    correct = {name: np.concatenate(parts) for name, parts in right.items()}
    texts = signs_among(named, correct)
    if check_masking:
        texts += _signs(model, named, batches, correct)
    correct[ALL] = np.logical_and.reduce(list(correct.values()))
    for text in texts:
        warnings.warn(f"evaluate_robust: {text}", UserWarning, stacklevel=2)
    return RobustReport(np.concatenate(labels), correct, tuple(texts))


def _named(attacks):
    if isinstance(attacks, Attack):
        attacks = [attacks]
    if isinstance(attacks, (list, tuple)) and all(isinstance(one, Attack) for one in attacks):
        names = [type(one).__name__ for one in attacks]
        attacks = {
            name if names.count(name) == 1 else f"{name} {place + 1}": attack
            for place, (name, attack) in enumerate(zip(names, attacks, strict=True))
        }
    if not isinstance(attacks, Mapping) or not all(
        isinstance(one, Attack) for one in attacks.values()
    ):
        raise TypeError(f"`attacks` must be Attacks, by name or in a sequence, got {attacks!r}.")
    if not attacks:
        raise ValueError("`attacks` must hold an attack, but it is empty.")
    for name, attack in attacks.items():
        if name in (CLEAN, ALL):
            raise ValueError(f"`attacks`: the name {name!r} is that of another row of the report.")
        inner = getattr(attack, "attack", attack)
        if getattr(getattr(inner, "loss", None), "targeted", False):
            raise ValueError(
                f"`attacks`: {name!r} is targeted; it would lead the model to the right labels."
            )
    return dict(attacks)


def _check_batch(data, y, sample_weight):
    if y is None:
        raise ValueError(
            f"`data` must be (x, y), got {type(data).__name__} without labels, so that there is no "
            "accuracy."
        )
    if sample_weight is not None:
        raise ValueError(
            "`data` has weights of samples, for which accuracies of classes say nothing."
        )


def _inputs(model, x, y):
    return as_model_inputs(model, (x, y))


def _clean(model):
    def judged(x, y):
        scores = predictions_of(model, x)
        shape = tuple(getattr(scores, "shape", ()))
        if len(shape) != 2 or shape[1] < 2:
            raise ValueError(
                f"`model` ({model.name!r}) must give scores of shape (batch, classes), got {shape}."
            )
        return class_ids(y, scores), is_correct(y, scores)

    return cached(model, "clean_correct", None, lambda: make_forward(judged, model.variables))


def _right(model, attack, x, y, number):
    """Which samples of a batch are right under the attack, boolean array."""
    attack.check_inputs(x)

    def judged(x, y, counter):
        found = attack.search_model(model, x, y, counter)
        return is_correct(y, attack.predictions(model, x, found))

    compiled = cached(
        model,
        ("correct_under", id(attack)),
        attack,
        lambda: make_forward(judged, attack.read_variables(model)),
    )
    return ops.convert_to_numpy(compiled(*_inputs(model, x, y), np.int32(number)))


def _signs(model, named, batches, correct):
    candidates = [name for name, attack in named.items() if follows_gradients(attack)]
    if not candidates:
        return []
    count = sum(batch_length(x) for x, _ in batches)

    def strength(name):
        return float(np.mean(correct[name][:count])), isinstance(named[name], FGSM)

    strongest = min(candidates, key=strength)
    clean = correct[CLEAN][:count]

    def measure(attack):
        found = [_right(model, attack, x, y, number) for number, (x, y) in enumerate(batches)]
        return float(np.mean(clean & np.concatenate(found)))

    x = keras.tree.flatten(batches[0][0])[0]
    right = float(np.mean(correct[strongest][:count]))
    features = math.prod(x.shape[1:])
    return signs_of(strongest, named[strongest], right, count, features, measure)

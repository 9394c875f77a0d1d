"""Fewer bits as the training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.qat._quantized_training import QuantizedTraining
from keras_compress.qat._targets import find_matrices
from keras_reweight.core.optimizer_slots import reset_slots
from keras_reweight.core.retraced_step import retrace_train_step
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class BitWidthSchedule(QuantizedTraining):
    """Change the bits of quantized weights at the beginning of some epochs.

    Progressive quantization: a model that has learned with 4 bits is a better start for 2 bits than
    the float model. Each stage `(epoch, bits)` holds until the next; before the first one the bits
    are those of the model. At a change learned scales start again from the weights, the optimizer
    forgets what it knew of them, and the bits in the configuration of the layers change, so that
    the model is saved, frozen and packed with the bits it was trained with last. Activations keep
    their bits. Each epoch's logs get `weight_bits` (mean over the weights).

    A training that is resumed, by `keras.callbacks.BackupAndRestore` or `set_state`, goes on with
    the bits and scales it had. Not together with `OscillationFreezing`, which knows codes of one
    width only.

    Args:
        stages: Sequence of pairs `(epoch, bits)`, epochs (counted as by `fit`, from zero) rising,
            bits that the quantizers take (1 to 8 at most).
        layers: Names, paths, `re.Pattern`, layers, predicates or a list of these, of
            quantization-aware layers; `None` for all. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to `"bit_width_schedule"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `stages` is not made of pairs of integers.
        ValueError: If `stages` is empty, its epochs do not rise, or bits are outside 1 to 8; in
            `fit`, before anything changes, if the model is not compiled or a quantizer does not
            take the bits.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    quantized = kc.quantize_aware(model, weights=8)
    quantized.compile("adam", "mse")
    schedule = kc.callbacks.BitWidthSchedule([(1, 3)])
    quantized.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[schedule])
    assert quantized.layers[0].weight.bits == 3
    ```

    Reference:
        Zhuang et al., "Towards Effective Low-bitwidth Convolutional Neural Networks", CVPR 2018,
        arXiv 1711.00205, section 3.2 (progressive quantization).

    Cost:
        The train step is compiled once more at every change, and never in between.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[int]],
        *,
        layers: Any = None,
        name: str | None = None,
    ):
        _check_stages(stages)
        super().__init__(layers=layers, name=name)
        self.stages = stages

    def find_targets(self, model):
        targets = find_matrices(model, self.layers, self.name, in_step=False)
        for target in targets:
            for _, bits in self.stages:
                _check_bits(target, bits)
        return targets

    def initial_state(self, target):
        return {"bits": np.asarray(target.quantizer.bits, "int32")}

    def bits_at(self, epoch: int) -> int | None:
        """The bits of an epoch, `None` before the first stage."""
        begun = [bits for start, bits in self.stages if start <= epoch]
        return int(begun[-1]) if begun else None

    def on_epoch_begin(self, epoch, logs=None):
        if self._steps is None:
            return
        model = self._attached_to
        sync_model(model)
        wanted = self.bits_at(epoch)
        changed = False
        for targets in _by_layer(self._targets):
            # What the scales are made for; a model made anew before resuming has other bits.
            known = int(ops.convert_to_numpy(targets[0].value("bits")))
            if targets[0].quantizer.bits != known:
                targets[0].layer.set_weight_bits(known, restart_scales=False)
                changed = True
            if wanted is not None and wanted != known:
                self._change(model, targets, wanted)
                changed = True
        if changed:
            retrace_train_step(model)

    def _change(self, model, targets, bits):
        targets[0].layer.set_weight_bits(bits)
        for target in targets:
            target.state["bits"].assign(np.asarray(bits, "int32"))
            scales = target.quantizer.trainable_variables
            reset_slots(model, scales, [np.ones(tuple(scale.shape), "bool") for scale in scales])

    def measures(self):
        sizes = [int(np.prod(target.variable.shape)) for target in self._targets]
        bits = [target.quantizer.bits for target in self._targets]
        return {"weight_bits": np.average(bits, weights=sizes)}

    def get_config(self):
        return {"stages": self.stages, **super().get_config()}


def _by_layer(targets):
    groups: dict[int, list] = {}
    for target in targets:
        groups.setdefault(id(target.layer), []).append(target)
    return groups.values()


def _check_stages(stages):
    if isinstance(stages, str) or not isinstance(stages, (list, tuple)):
        raise TypeError(f"`stages` must be a sequence of pairs (epoch, bits), got {stages!r}.")
    if not stages:
        raise ValueError("`stages` must not be empty.")
    last = -1
    for stage in stages:
        if not isinstance(stage, (list, tuple)) or len(stage) != 2:
            raise TypeError(f"`stages` must hold pairs (epoch, bits), got {stage!r}.")
        check_integer(f"stages: epoch of {stage!r}", stage[0], minimum=0)
        check_integer(f"stages: bits of {stage!r}", stage[1], minimum=1, maximum=8)
        if stage[0] <= last:
            raise ValueError(f"`stages`: epochs must rise, got {stages!r}.")
        last = stage[0]


def _check_bits(target, bits):
    quantizer = target.quantizer
    try:
        other = type(quantizer).from_config({**quantizer.get_config(), "bits": bits})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`stages`: {type(quantizer).__name__} of {target.path!r} does not take {bits} bits: "
            f"{error}"
        ) from error
    other.build_from(target.variable)
    shapes = [tuple(variable.shape) for variable in quantizer.weights]
    if [tuple(variable.shape) for variable in other.weights] != shapes:
        raise ValueError(
            f"`stages`: {type(quantizer).__name__} of {target.path!r} has other variables at "
            f"{bits} bits than at {quantizer.bits}."
        )

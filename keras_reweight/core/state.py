"""Variables of ours that live inside a compiled train step.

A `keras.Variable` that only a loss, a constraint or a callback holds is a constant inside the
jitted JAX step: what a callback writes is never seen and what the step writes is lost, without an
error.
Keras threads the variables of a model's metrics through the step on every backend, and keeps them
out of weight files, so a metric that measures nothing is the carrier.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

_PREFIX = "_kr_state_"
_NARROW = {"float64": "float32", "int64": "int32", "uint64": "uint32"}


class StateCarrier(keras.metrics.Metric):
    """A metric that owns variables and measures nothing: no logs, never reset.

    Args:
        name: String, unique among the carriers of a model.
        spec: Dict from variable name to its initial value, a NumPy array. Shapes are fixed; 64-bit
            numbers become 32-bit ones, because JAX has no others by default.
    """

    def __init__(self, name: str, spec: dict[str, np.ndarray]):
        super().__init__(name=f"{_PREFIX}{name}")
        self._entries = {}
        for key, initial in spec.items():
            initial = np.asarray(initial)
            initial = initial.astype(_NARROW.get(initial.dtype.name, initial.dtype))
            self._entries[key] = self.add_variable(
                shape=initial.shape,
                initializer=_from_array(initial),
                dtype=keras.backend.standardize_dtype(initial.dtype),
                name=key,
            )

    def __getitem__(self, key: str) -> keras.Variable:
        return self._entries[key]

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def keys(self):
        return self._entries.keys()

    def value(self, key: str):
        """The current tensor of a variable (valid inside a compiled step).

        On torch and TensorFlow it may follow a later `assign`: compute from it first.
        """
        return ops.convert_to_tensor(self._entries[key])

    def read(self) -> dict[str, np.ndarray]:
        """Host copies of all variables. Inside `fit` touch `callback.model` first."""
        return {key: np.array(ops.convert_to_numpy(v)) for key, v in self._entries.items()}

    def write(self, values: dict[str, np.ndarray]) -> None:
        """Assign host values; every key and shape is checked before the first assignment."""
        for key, value in values.items():
            if key not in self._entries:
                raise ValueError(f"Unknown state {key!r}; this carrier has {list(self._entries)}.")
            if tuple(np.shape(value)) != tuple(self._entries[key].shape):
                raise ValueError(
                    f"State {key!r} must have shape {tuple(self._entries[key].shape)}, "
                    f"got {tuple(np.shape(value))}."
                )
        for key, value in values.items():
            variable = self._entries[key]
            variable.assign(np.array(value, dtype=keras.backend.standardize_dtype(variable.dtype)))

    def update_state(self, *args, **kwargs):
        """Nothing: training code writes the variables."""

    def reset_state(self):
        """Nothing: Keras resets metrics every epoch, the state must survive."""

    def result(self):
        return {}


def _from_array(array):
    def initializer(shape, dtype=None):
        return ops.convert_to_tensor(array, dtype=dtype)

    return initializer


def attach_state(
    model: keras.Model, name: str, spec: dict[str, np.ndarray] | None = None
) -> StateCarrier:
    """Give `model` a carrier and have its step functions rebuilt.

    Call it from `Callback.set_model`: later is too late for subclassed and distributed models.
    """
    attribute = _PREFIX + name
    if getattr(model, attribute, None) is not None:
        detach_state(model, name)
    carrier = StateCarrier(name, spec or {})
    # A built model refuses new state; Keras itself unlocks the tracker for LoRA and quantization.
    was_locked = model._tracker.locked
    model._tracker.unlock()
    try:
        setattr(model, attribute, carrier)
    finally:
        if was_locked:
            model._tracker.lock()
    rebuild_step_functions(model)
    return carrier


def detach_state(model: keras.Model, name: str) -> None:
    """Take the carrier off again; the model is as if it had never been there."""
    attribute = _PREFIX + name
    carrier = getattr(model, attribute, None)
    if carrier is None:
        return
    sync_model(model)
    model._tracker.untrack(carrier)
    delattr(model, attribute)
    rebuild_step_functions(model)


def carriers(model: keras.Model) -> list[StateCarrier]:
    """All carriers now attached to `model`."""
    return [metric for metric in model._metrics if isinstance(metric, StateCarrier)]


def rebuild_step_functions(model: keras.Model) -> None:
    """Drop compiled step functions, so that the next `fit` or `evaluate` traces anew."""
    model.train_function = None
    model.test_function = None


def sync_model(model: keras.Model) -> None:
    """On JAX bring the values held by a running epoch back into the variables; else nothing."""
    sync = getattr(model, "jax_state_sync", None)
    if sync is not None:
        sync()

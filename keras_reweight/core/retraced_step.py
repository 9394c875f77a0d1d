"""A train step that is traced again, because Python values inside it have changed."""

from __future__ import annotations

import keras

from keras_reweight.core.state import rebuild_step_functions


def retrace_train_step(model: keras.Model) -> None:
    """Let a running `fit` go on with a train step that is compiled from scratch.

    Dropping the old function is not enough on JAX: it remembers traces by the function, equal bound
    methods are equal functions, and as long as anyone holds the old one its trace is found.
    """
    rebuild_step_functions(model)
    model.predict_function = None
    own = model.__dict__.get("train_step")
    original = model.train_step

    def train_step(*args, **kwargs):
        return original(*args, **kwargs)

    object.__setattr__(model, "train_step", train_step)
    try:
        model.make_train_function(force=True)
    finally:
        object.__delattr__(model, "train_step")
        if own is not None:
            object.__setattr__(model, "train_step", own)

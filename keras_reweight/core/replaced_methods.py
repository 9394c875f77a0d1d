"""Methods of layers that are others for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import keras

from keras_reweight.core.gradients._closed_form import _replaced


@contextlib.contextmanager
def replaced_methods(
    changes: Iterable[tuple[keras.layers.Layer, str, Callable]],
) -> Iterator[None]:
    """Inside, `layer.name` is `change(layer.name)` for each `(layer, name, change)`."""
    with contextlib.ExitStack() as stack:
        for layer, name, change in changes:
            stack.enter_context(_replaced(layer, name, change(getattr(layer, name))))
        yield


def on_first_input(function: Callable) -> Callable[[Callable], Callable]:
    """The change of a `call` that hands its first argument through `function`."""

    def change(call):
        def changed(*args, **kwargs):
            if args:
                return call(function(args[0]), *args[1:], **kwargs)
            first = next(iter(kwargs))
            return call(**{**kwargs, first: function(kwargs[first])})

        return changed

    return change

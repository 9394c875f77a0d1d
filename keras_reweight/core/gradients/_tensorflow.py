"""Gradient primitives on TensorFlow: the same functions as in the files of the other backends.

Samples are mapped with `tf.map_fn`. The vectorizing map of TensorFlow 2.21 kills the process on
attention, on `matmul` of unequal ranks and on `EinsumDense`, so it is never used here.
"""

from __future__ import annotations

import contextlib

import tensorflow as tf
from keras.src.backend.tensorflow import nn as keras_nn


def compile_function(function):
    """Trace once per input signature; batches of several sizes share a trace."""
    traces = {}

    def compiled(*args):
        # A `tf.function` of its own for everything but the batch size: relaxed together, two label
        # shapes would leave nothing to check a third one against.
        key = tuple(tuple(tensor.shape[1:]) for tensor in tf.nest.flatten(args) if _ranked(tensor))
        if key not in traces:
            traces[key] = tf.function(function, autograph=False, reduce_retracing=True)
            # TensorFlow counts traces by the address of the Python function, which the functions
            # of two models can share one after the other; its warning would be false.
            traces[key]._omit_frequent_tracing_warning = True
        return traces[key](*args)

    return compiled


def _ranked(tensor):
    return tf.is_tensor(tensor) and len(tensor.shape) > 0


def runs_inline():
    """Whether functions must not be compiled here: inside a graph that is being traced."""
    return tf.inside_function()


def isolate():
    """Context in which nothing outside the function changes. Keras draws stateless numbers here."""
    return contextlib.nullcontext()


def no_recording():
    """Context of a train step that asks for its gradients itself. Only a tape records here."""
    return contextlib.nullcontext()


def read(variables):
    """Current values of Keras variables."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]


def differentiates_moments_twice():
    """Whether second derivatives through normalization layers are right."""
    return hasattr(keras_nn, "_compute_moments")


@contextlib.contextmanager
def _second_order():
    """Trace normalization layers such that their second derivatives are right.

    `tf.nn.moments`, which Keras calls, stops the gradient of the mean inside the variance. The
    first derivative does not notice, the second one is wrong by tens of percent. Only what is
    traced inside of this context sees the replacement.
    """
    original = getattr(keras_nn, "_compute_moments", None)
    if original is None:
        yield
        return

    def moments(x, axes, keepdims):
        mean = tf.reduce_mean(x, axes, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims=keepdims)
        return mean if keepdims else tf.squeeze(mean, axes), variance

    keras_nn._compute_moments = moments
    try:
        yield
    finally:
        keras_nn._compute_moments = original


def value_and_grad(objective, values, differentiable=False):
    """`objective(values) -> (scalar, auxiliary)`; returns `(scalar, auxiliary, gradients)`."""
    context = _second_order() if differentiable else contextlib.nullcontext()
    with context, tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value, auxiliary = objective(values)
    return value, auxiliary, _gradients(tape, value, values)


def values_and_grads(objective, values, places):
    """`objective(values) -> (scalars, auxiliary)`; returns these and the gradients of each scalar.

    One forward pass and a backward pass for each of the list of scalars. `places` holds for each
    scalar which of the values are differentiated, or is `None` for all.
    """
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
        tape.watch(values)
        scalars, auxiliary = objective(values)
    gradients = []
    for place, scalar in enumerate(scalars):
        chosen = values if places is None else [values[i] for i in places[place]]
        gradients.append(_gradients(tape, scalar, chosen))
    return scalars, auxiliary, gradients


def per_sample(objective, values, batch, reduce, total, state):
    """`reduce(gradients)` of `objective(values, sample)` for every sample of `batch`.

    `batch` is a list of tensors with a common first axis; the results are stacked along a new first
    axis, or summed over it with `total`. `state` belongs to other backends.
    """
    del state

    def one(sample):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            loss = objective(values, list(sample))
        return reduce(_gradients(tape, loss, values))

    specs = _result_specs(reduce, values)
    if not total:
        return tf.map_fn(one, tuple(batch), fn_output_signature=specs)

    def add(sums, sample):
        return tf.nest.map_structure(tf.add, sums, one(sample))

    zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)
    return tf.foldl(add, tuple(batch), initializer=zeros)


def _result_specs(reduce, values):
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in values]
    traced = tf.function(reduce, autograph=False).get_concrete_function(specs)
    return tf.nest.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), traced.structured_outputs
    )


def map_samples(function, batch, dtype):
    """`function(sample) -> scalar of dtype` for every sample of `batch`, stacked."""
    return tf.map_fn(
        lambda sample: function(list(sample)),
        tuple(batch),
        fn_output_signature=tf.TensorSpec((), dtype),
    )


def jvp(function, values, vector):
    """`(function(values), directional derivative along vector)`, if possible in one pass."""
    try:
        with tf.autodiff.ForwardAccumulator(values, vector) as accumulator:
            out = function(values)
        tangent = accumulator.jvp(out, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    except TypeError:
        # Loops (recurrent layers, `tf.map_fn`) have no forward mode inside a graph.
        return _jvp_by_transposition(function, values, vector)
    return out, tangent


def _jvp_by_transposition(function, values, vector):
    """The gradient is linear in its output weights; its derivative by them is the forward mode."""
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(values)
            out = function(values)
        weights = tf.zeros_like(out)
        outer.watch(weights)
        weighted = _gradients(inner, out, values, output_gradients=weights)
    return out, _gradients(outer, weighted, [weights], output_gradients=vector)[0]


def hessian_vector_product(objective, values, vector):
    """Reverse over reverse: the gradient of the gradient, weighted with `vector`."""
    with _second_order(), tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(values)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(values)
            value = objective(values)
        first = _gradients(inner, value, values)
    return _gradients(outer, first, values, output_gradients=vector)


def tap_gradients(function):
    """Gradients of a scalar with respect to intermediate tensors.

    `function(tap) -> (scalar, auxiliary)` passes an intermediate through `tap(name, tensor)` and
    goes on with what comes back. Returns `(auxiliary, {name: gradient})`.
    """
    taps = {}
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def tap(name, tensor):
            taps[name] = tf.identity(tensor)
            tape.watch(taps[name])
            return taps[name]

        value, auxiliary = function(tap)
    gradients = _gradients(tape, value, list(taps.values()))
    return auxiliary, dict(zip(taps, gradients, strict=True))


def _gradients(tape, target, sources, output_gradients=None):
    gradients = tape.gradient(
        target,
        sources,
        output_gradients=output_gradients,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    # Embeddings give `IndexedSlices`; squaring or dotting those is wrong for repeated rows.
    return [tf.convert_to_tensor(gradient) for gradient in gradients]

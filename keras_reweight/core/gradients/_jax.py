"""Gradient primitives on JAX: the same functions as in the files of the other backends."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp


def compile_function(function):
    """Trace once per input signature."""
    return jax.jit(function)


def runs_inline():
    """Whether functions must not be compiled here. Nested `jit` is fine, hence never."""
    return False


def isolate():
    """Context in which nothing outside the function changes. JAX has no global random state."""
    return contextlib.nullcontext()


def no_recording():
    """Context of a train step that asks for its gradients itself. JAX records nothing unasked."""
    return contextlib.nullcontext()


def read(variables):
    """Current values of Keras variables."""
    return [variable.value for variable in variables]


def differentiates_moments_twice():
    """Whether second derivatives through normalization layers are right."""
    return True


def value_and_grad(objective, values, differentiable=False):
    """`objective(values) -> (scalar, auxiliary)`; returns `(scalar, auxiliary, gradients)`."""
    del differentiable  # always: whoever needs it constant stops the gradient
    (value, auxiliary), gradients = jax.value_and_grad(objective, has_aux=True)(values)
    return value, auxiliary, gradients


def values_and_grads(objective, values, places):
    """`objective(values) -> (scalars, auxiliary)`; returns these and the gradients of each scalar.

    One forward pass and a backward pass for each of the list of scalars. `places` holds for each
    scalar which of the values are differentiated, or is `None` for all.
    """
    scalars, pull, auxiliary = jax.vjp(objective, values, has_aux=True)
    gradients = []
    for place in range(len(scalars)):
        seeds = [
            jnp.ones_like(s) if i == place else jnp.zeros_like(s) for i, s in enumerate(scalars)
        ]
        # What is left out here is not computed once this is compiled.
        pulled = pull(seeds)[0]
        gradients.append(pulled if places is None else [pulled[i] for i in places[place]])
    return scalars, auxiliary, gradients


def per_sample(objective, values, batch, reduce, total, state):
    """`reduce(gradients)` of `objective(values, sample)` for every sample of `batch`.

    `batch` is a list of tensors with a common first axis; the results are stacked along a new first
    axis, or summed over it with `total`. `state` belongs to other backends.
    """
    del state
    gradient = jax.grad(objective)
    results = jax.vmap(lambda *sample: reduce(gradient(values, list(sample))))(*batch)
    if total:
        return jax.tree_util.tree_map(lambda tensor: jnp.sum(tensor, axis=0), results)
    return results


def map_samples(function, batch, dtype):
    """`function(sample) -> scalar of dtype` for every sample of `batch`, stacked."""
    del dtype
    return jax.vmap(lambda *sample: function(list(sample)))(*batch)


def jvp(function, values, vector):
    """`(function(values), directional derivative along vector)` in one forward pass."""
    return jax.jvp(function, (values,), (vector,))


def hessian_vector_product(objective, values, vector):
    """Forward over reverse: the derivative of the gradient along `vector`."""
    return jax.jvp(jax.grad(objective), (values,), (vector,))[1]


def tap_gradients(function):
    """Gradients of a scalar with respect to intermediate tensors.

    `function(tap) -> (scalar, auxiliary)` passes an intermediate through `tap(name, tensor)` and
    goes on with what comes back. Returns `(auxiliary, {name: gradient})`.
    """
    shapes = {}

    def record(name, tensor):
        shapes[name] = (tensor.shape, tensor.dtype)
        return tensor

    jax.eval_shape(lambda: function(record))
    zeros = {name: jnp.zeros(shape, dtype) for name, (shape, dtype) in shapes.items()}

    def shifted(offsets):
        return function(lambda name, tensor: tensor + offsets[name])

    gradients, auxiliary = jax.grad(shifted, has_aux=True)(zeros)
    return auxiliary, gradients

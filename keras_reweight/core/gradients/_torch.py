"""Gradient primitives on torch: the same functions as in the files of the other backends."""

from __future__ import annotations

import contextlib
import warnings

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def compile_function(function):
    """Eager: nothing to compile."""
    return function


def runs_inline():
    """Whether functions must not be compiled here: always."""
    return True


@contextlib.contextmanager
def isolate():
    """Context in which nothing outside the function changes: the global random state is put back.

    Keras draws unseeded dropout masks on this backend from torch's global generators.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


def no_recording():
    """Context of a train step that asks for its gradients itself."""
    return torch.no_grad()


def read(variables):
    """Current values of Keras variables."""
    return [variable.value for variable in variables]


def differentiates_moments_twice():
    """Whether second derivatives through normalization layers are right."""
    return True


def value_and_grad(objective, values, differentiable=False):
    """`objective(values) -> (scalar, auxiliary)`; returns `(scalar, auxiliary, gradients)`."""
    # The fused attention kernels have no second derivative.
    attention = sdpa_kernel(SDPBackend.MATH) if differentiable else contextlib.nullcontext()
    with attention, torch.enable_grad():
        values = [_leaf(tensor, differentiable) for tensor in values]
        value, auxiliary = objective(values)
        gradients = _gradients(value, values, create_graph=differentiable)
    return value, auxiliary, gradients


def values_and_grads(objective, values, places):
    """`objective(values) -> (scalars, auxiliary)`; returns these and the gradients of each scalar.

    One forward pass and a backward pass for each of the list of scalars. `places` holds for each
    scalar which of the values are differentiated, or is `None` for all.
    """
    with torch.enable_grad():
        values = [_leaf(tensor) for tensor in values]
        scalars, auxiliary = objective(values)
        last = len(scalars) - 1
        gradients = []
        for place, scalar in enumerate(scalars):
            chosen = values if places is None else [values[i] for i in places[place]]
            gradients.append(_gradients(scalar, chosen, retain_graph=place < last))
    return scalars, auxiliary, gradients


def per_sample(objective, values, batch, reduce, total, state):
    """`reduce(gradients)` of `objective(values, sample)` for every sample of `batch`.

    `batch` is a list of tensors with a common first axis; the results are stacked along a new first
    axis, or summed over it with `total`. What `vmap` cannot do (memory formats, data-dependent
    control flow, missing batching rules) is done sample by sample, and `state["loop"]` remembers
    it: a genuine error of the objective comes up again there.
    """
    if not state.get("loop"):
        try:
            results = _vectorized(objective, values, batch, reduce)
        except (RuntimeError, NotImplementedError):
            state["loop"] = True
        else:
            return _map(lambda tensor: tensor.sum(0), results) if total else results
    return _looped(objective, values, batch, reduce, total)


def _vectorized(objective, values, batch, reduce):
    gradient = torch.func.grad(objective)

    def one(*sample):
        return reduce(gradient(values, list(sample)))

    # "same": every sample meets the random state of a batch of one, as in the loop.
    mapped = torch.func.vmap(one, randomness="same")
    with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*batching rule.*")
        return mapped(*batch)


def _looped(objective, values, batch, reduce, total):
    rows = []
    for index in range(batch[0].shape[0]):
        with isolate(), torch.enable_grad():
            leaves = [_leaf(tensor) for tensor in values]
            loss = objective(leaves, [tensor[index] for tensor in batch])
            row = _map(torch.Tensor.detach, reduce(_gradients(loss, leaves)))
        rows = [_map(torch.add, rows[0], row)] if total and rows else [*rows, row]
    if total:
        return rows[0]
    return _map(lambda *tensors: torch.stack(tensors), *rows)


def map_samples(function, batch, dtype):
    """`function(sample) -> scalar of dtype` for every sample of `batch`, stacked."""
    del dtype
    try:
        return torch.func.vmap(lambda *sample: function(list(sample)), randomness="same")(*batch)
    except (RuntimeError, NotImplementedError):
        count = batch[0].shape[0]
        return torch.stack([function([tensor[i] for tensor in batch]) for i in range(count)])


def jvp(function, values, vector):
    """`(function(values), directional derivative along vector)` in one forward pass."""
    # The fused attention kernels have no forward mode.
    with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        # torch 2.13 loads its forward-mode rules through an interface that it deprecates itself.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*is deprecated")
        return torch.func.jvp(function, (values,), (vector,))


def hessian_vector_product(objective, values, vector):
    """Reverse over reverse: the gradient of `<gradient, vector>`."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        values = [_leaf(tensor) for tensor in values]
        first = _gradients(objective(values), values, create_graph=True)
        pairs = zip(first, vector, strict=True)
        return _gradients(sum((gradient * factor).sum() for gradient, factor in pairs), values)


def tap_gradients(function):
    """Gradients of a scalar with respect to intermediate tensors.

    `function(tap) -> (scalar, auxiliary)` passes an intermediate through `tap(name, tensor)` and
    goes on with what comes back. Returns `(auxiliary, {name: gradient})`.
    """
    taps = {}

    def tap(name, tensor):
        taps[name] = tensor if tensor.requires_grad else tensor.detach().requires_grad_(True)
        return taps[name]

    with torch.enable_grad():
        value, auxiliary = function(tap)
        gradients = _gradients(value, list(taps.values()))
    return auxiliary, dict(zip(taps, gradients, strict=True))


def _leaf(tensor, differentiable=False):
    if differentiable and tensor.requires_grad:
        return tensor
    return tensor.detach().requires_grad_(True)


def _gradients(value, tensors, create_graph=False, retain_graph=None):
    if not tensors or not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    gradients = torch.autograd.grad(
        value, tensors, create_graph=create_graph, retain_graph=retain_graph, allow_unused=True
    )
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(tensors, gradients, strict=True)
    ]


def _map(function, *structures):
    if isinstance(structures[0], (list, tuple)):
        return [function(*items) for items in zip(*structures, strict=True)]
    return function(*structures)

"""All functions against float64 NumPy models with central differences, on the running backend."""

import numpy as np
import pytest
from keras import ops

from keras_reweight import gradients
from keras_reweight.core.testing.compare import assert_close
from tests.core.gradients.references import REFERENCES, assert_unchanged, snapshot
from tests.parity_record import record


@pytest.fixture(scope="module", params=sorted(REFERENCES))
def case(request):
    reference = REFERENCES[request.param]()
    return request.param, reference, reference.jacobian()


def check(case, kind, actual, expected):
    """Tensors against flat or split float64 arrays; also kept for the other backends."""
    name, reference, _ = case
    if isinstance(actual, list):
        expected = reference.split(expected)
    else:
        actual, expected = [actual], [expected]
    for index, (tensor, array) in enumerate(zip(actual, expected, strict=True)):
        array_found = ops.convert_to_numpy(tensor)
        assert array_found.dtype == np.float32
        assert_close(array_found, array, f"{kind} of {name}, {index}")
        record(f"gradients/{name}/{kind}/{index}", array_found)


def arguments(case):
    reference = case[1]
    return (reference.model, reference.x, reference.y), {"loss": reference.loss}


def test_value_and_grad(case):
    positional, named = arguments(case)
    before = snapshot(case[1].model)
    value, found, updates = gradients.value_and_grad(*positional, **named)
    assert_close(
        ops.convert_to_numpy(value), case[1].flat_losses(case[1].flat_weights()).mean(), ""
    )
    check(case, "value_and_grad", found, case[2].mean(axis=0))
    assert updates == []
    assert_unchanged(case[1].model, before)


def test_per_sample_gradients(case):
    positional, named = arguments(case)
    before = snapshot(case[1].model)
    found = gradients.per_sample_gradients(*positional, **named, batch_size=3)
    check(case, "per_sample_gradients", found, case[2])
    assert_unchanged(case[1].model, before)


def test_per_sample_gradient_norms(case):
    positional, named = arguments(case)
    before = snapshot(case[1].model)
    for method in ("closed_form", "map") if case[0] == "dense" else ("closed_form",):
        found = gradients.per_sample_gradient_norms(*positional, **named, method=method)
        check(case, f"norms_{method}", found, np.sqrt((case[2] ** 2).sum(axis=1)))
    assert_unchanged(case[1].model, before)


def test_fisher_diagonal(case):
    positional, named = arguments(case)
    before = snapshot(case[1].model)
    found = gradients.fisher_diagonal(*positional, **named, batch_size=3)
    check(case, "fisher", found, (case[2] ** 2).mean(axis=0))
    assert_unchanged(case[1].model, before)


def test_jvp(case):
    positional, named = arguments(case)
    before = snapshot(case[1].model)
    flat, vector = case[1].vector()
    losses, found = gradients.jvp(*positional, vector, **named)
    check(case, "losses", losses, case[1].flat_losses(case[1].flat_weights()))
    check(case, "jvp", found, case[2] @ flat)
    assert_unchanged(case[1].model, before)


def test_hessian_vector_product(case):
    positional, named = arguments(case)
    before = snapshot(case[1].model)
    flat, vector = case[1].vector()
    found = gradients.hessian_vector_product(*positional, vector, **named)
    check(case, "hvp", found, case[1].hessian_product(flat))
    assert_unchanged(case[1].model, before)


def test_input_gradient(case):
    positional, named = arguments(case)
    if case[0] == "tokens":
        with pytest.raises(ValueError, match="no floating point array"):
            gradients.input_gradient(*positional, **named)
        return
    before = snapshot(case[1].model)
    found = gradients.input_gradient(*positional, **named)
    check(case, "input_gradient", found, case[1].input_gradients())
    assert_unchanged(case[1].model, before)

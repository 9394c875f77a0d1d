"""The three backend files offer the same, and none uses what is known to crash."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_reweight.gradients as public
from keras_reweight.core import gradients
from keras_reweight.core.gradients import _backend
from keras_reweight.core.testing.docstrings import check_sections

DIRECTORY = Path(gradients.__file__).parent


def functions(name):
    tree = ast.parse((DIRECTORY / f"_{name}.py").read_text(encoding="utf-8"))
    return {
        node.name: [argument.arg for argument in node.args.args]
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


def test_one_interface():
    expected = functions("jax")
    assert len(expected) > 5
    assert functions("tensorflow") == expected
    assert functions("torch") == expected


def test_the_vectorizing_map_of_tensorflow_is_never_used():
    files = list(DIRECTORY.glob("*.py"))
    assert len(files) > 10
    for file in files:
        assert "vectorized_map" not in file.read_text(encoding="utf-8"), file.name
        assert "pfor" not in file.read_text(encoding="utf-8"), file.name


def test_other_backends_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    with pytest.raises(NotImplementedError, match="running one is 'openvino'"):
        _backend.active_backend()
    variable = keras.Variable(np.float32(1.0))
    with pytest.raises(NotImplementedError, match="KERAS_BACKEND"):
        gradients.make_value_and_grad(lambda: variable * 1.0, [variable])


def test_the_moments_of_keras_can_be_replaced():
    """Fails when Keras renames what exact second derivatives on TensorFlow stand on."""
    assert _backend.active_backend().differentiates_moments_twice()


def test_the_public_module_offers_all_of_it():
    assert public.__all__ == gradients.__all__ == sorted(public.__all__)
    for name in public.__all__:
        assert getattr(public, name) is getattr(gradients, name)


@pytest.mark.parametrize("name", gradients.__all__)
def test_docstrings(name):
    check_sections(getattr(gradients, name))

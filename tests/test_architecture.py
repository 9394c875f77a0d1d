"""The packages keep their layout rules, and every rule catches what it forbids."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import architecture_rules as rules

ROOT = Path(__file__).resolve().parent.parent
SKIPPED_DIRECTORIES = frozenset({"__pycache__", "build", "dist"})
TEXT_SUFFIXES = frozenset(
    {"", ".cfg", ".csv", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
)


def package_files() -> list[str]:
    return sorted(
        file.relative_to(ROOT).as_posix()
        for package in rules.PACKAGES
        for file in (ROOT / package).rglob("*.py")
    )


def project_text_files() -> list[str]:
    """Text files of the project: hidden directories, but for `.ci`, hold none of ours."""
    found = []
    for path in sorted(ROOT.iterdir()):
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name != ".ci"
            if not hidden and path.name not in SKIPPED_DIRECTORIES:
                found += [file for file in path.rglob("*") if file.is_file()]
        else:
            found.append(path)
    return [
        file.relative_to(ROOT).as_posix()
        for file in found
        if file.suffix in TEXT_SUFFIXES and not SKIPPED_DIRECTORIES & set(file.parts)
    ]


@pytest.mark.parametrize("rule", rules.PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_the_packages_keep_the_rule(rule):
    files = package_files()
    assert len(files) > 2
    violations = [
        f"{path}:{violation}"
        for path in files
        for violation in rule((ROOT / path).read_text(encoding="utf-8"), path)
    ]
    assert not violations, "\n".join(violations)


def test_no_text_file_contains_a_forbidden_word():
    files = project_text_files()
    assert {"Makefile", "README.md", "pyproject.toml", ".ci/run"} <= set(files)
    violations = [
        f"{path}:{violation}"
        for path in files
        for violation in rules.forbidden_words((ROOT / path).read_text(encoding="utf-8"), path)
    ]
    assert not violations, "\n".join(violations)


WEIGHTING = "keras_reweight/weightings/extremes.py"
CALLBACK = "keras_reweight/callbacks/reweight.py"
PRUNING = "keras_compress/pruning/magnitude.py"
CORE = "keras_reweight/core/gradients/jax.py"
OTHER_INIT = "keras_reweight/losses/__init__.py"

PLANTED = [
    (rules.backend_imports, WEIGHTING, "import torch"),
    (rules.backend_imports, WEIGHTING, "import jax.numpy as jnp"),
    (rules.backend_imports, PRUNING, "from tensorflow import nn"),
    (rules.backend_imports, PRUNING, "def f():\n    from jaxlib import xla_client"),
    (rules.backend_imports, PRUNING, "import importlib\nimportlib.import_module('torch.func')"),
    (rules.backend_imports, PRUNING, "__import__('jax')"),
    (rules.callback_imports, WEIGHTING, "from keras_reweight.callbacks import Reweight"),
    (rules.callback_imports, WEIGHTING, "from ..callbacks.reweight import Reweight"),
    (rules.callback_imports, WEIGHTING, "from .. import callbacks"),
    (rules.callback_imports, CORE, "import keras_reweight.callbacks"),
    (rules.callback_imports, PRUNING, "from keras_compress import callbacks"),
    (rules.exported_names, OTHER_INIT, "from keras_reweight.losses.a import A"),
    (rules.exported_names, OTHER_INIT, "from .a import A, B\n__all__ = ['B', 'A']"),
    (rules.exported_names, OTHER_INIT, "from .a import A\n__all__ = ['A', 'A']"),
    (rules.exported_names, OTHER_INIT, "from .a import A\n__all__ = ['A', 'B']"),
    (rules.forbidden_words, "README.md", "text\n" + rules.FORBIDDEN_WORDS[0]),
    (rules.forbidden_words, WEIGHTING, f"x = 1  # {rules.FORBIDDEN_WORDS[1]}: later"),
    (rules.heavy_imports, WEIGHTING, "import matplotlib.pyplot as plt"),
    (
        rules.heavy_imports,
        CORE,
        "try:\n    from sklearn import datasets\nexcept ImportError: x = 1",
    ),
    (rules.import_directions, PRUNING, "import keras_reweight"),
    (rules.import_directions, PRUNING, "import keras_reweight as kr"),
    (rules.import_directions, PRUNING, "from keras_reweight.callbacks import Reweight"),
    (rules.import_directions, PRUNING, "from keras_reweight import losses"),
    (rules.import_directions, WEIGHTING, "def f():\n    import keras_compress"),
    (rules.import_directions, WEIGHTING, "from keras_compress.pruning import magnitude"),
    (rules.import_directions, CORE, "from keras_reweight.weightings import Extremes"),
    (rules.import_directions, CORE, "from ... import losses"),
    (rules.import_directions, CORE, "from keras_compress import pruning"),
    (rules.long_file, WEIGHTING, "x = 1\n" * 401),
    (rules.private_access, CALLBACK, "from keras.src import backend"),
    (rules.private_access, CALLBACK, "import keras.src.ops"),
    (rules.private_access, CALLBACK, "import keras\nkeras.src.backend"),
    (rules.private_access, CALLBACK, "from keras.layers import _hidden"),
    (rules.private_access, CALLBACK, "model._metrics"),
    (rules.private_access, CALLBACK, "class A:\n    def f(self):\n        self.model._metrics"),
    (rules.private_access, CALLBACK, "layer._kernel = 1"),
    (rules.private_access, CALLBACK, "optimizer.inner()._lock"),
    (rules.private_access, CALLBACK, "getattr(model, '_metrics', None)"),
    (rules.private_access, CALLBACK, "setattr(self.model, '_metrics', [])"),
    (
        rules.private_access,
        CALLBACK,
        "class A:\n    def f(self):\n        self._x = 1\n        self.other._x",
    ),
    (rules.swallowed_exceptions, WEIGHTING, "try:\n    f()\nexcept:\n    raise"),
    (rules.swallowed_exceptions, WEIGHTING, "try:\n    f()\nexcept Exception:\n    pass"),
    (rules.swallowed_exceptions, WEIGHTING, "try:\n    f()\nexcept BaseException as e:\n    ..."),
    (
        rules.swallowed_exceptions,
        WEIGHTING,
        "try:\n    f()\nexcept (KeyError, Exception):\n    'it failed'\n    pass",
    ),
    (
        rules.swallowed_exceptions,
        WEIGHTING,
        "import contextlib\nwith contextlib.suppress(Exception):\n    f()",
    ),
    (rules.unsafe_code, WEIGHTING, "import pickle"),
    (rules.unsafe_code, CORE, "from pickle import loads"),
    (rules.unsafe_code, WEIGHTING, "import marshal"),
    (rules.unsafe_code, WEIGHTING, "eval('1 + 1')"),
    (rules.unsafe_code, WEIGHTING, "import builtins\nbuiltins.exec('x = 1')"),
    (rules.unsafe_code, WEIGHTING, "import numpy as np\nnp.load(f, allow_pickle=True)"),
    (rules.unsafe_code, WEIGHTING, "np.load(f, allow_pickle=flag)"),
    (rules.unsafe_code, WEIGHTING, "keras.saving.load_model(f, safe_mode=False)"),
    (rules.unsafe_code, WEIGHTING, "keras.config.enable_unsafe_deserialization()"),
]

ALLOWED = [
    (rules.backend_imports, CORE, "import jax\nfrom torch import func"),
    (rules.backend_imports, WEIGHTING, "import keras\nfrom keras_reweight.core import torchlike"),
    (rules.backend_imports, WEIGHTING, "backend = 'torch'\nops.import_module(name)"),
    (rules.callback_imports, CALLBACK, "from keras_reweight.callbacks import base"),
    (rules.callback_imports, WEIGHTING, "from keras_reweight.core import training_callback"),
    (rules.exported_names, OTHER_INIT, "from .a import A\nfrom .b import B\n__all__ = ['A', 'B']"),
    (rules.exported_names, "keras_reweight/losses/_impl/__init__.py", "from .a import A"),
    (rules.exported_names, "keras_reweight/core/__init__.py", ""),
    (rules.exported_names, WEIGHTING, "x = 1"),
    (rules.forbidden_words, "README.md", "todo lists are fixed"),
    (rules.heavy_imports, WEIGHTING, "import os\nimport numpy as np\nfrom keras import ops"),
    (rules.heavy_imports, WEIGHTING, "def f():\n    import matplotlib.pyplot as plt"),
    (rules.heavy_imports, WEIGHTING, "from . import extremes\nfrom ..core.state import attach"),
    (rules.import_directions, PRUNING, "from keras_reweight.core.state import attach"),
    (rules.import_directions, PRUNING, "from keras_reweight import core"),
    (rules.import_directions, PRUNING, "from keras_reweight._version import __version__"),
    (rules.import_directions, PRUNING, "from . import schedules\nfrom .. import quantization"),
    (rules.import_directions, CALLBACK, "from keras_reweight.weightings import Extremes"),
    (rules.import_directions, CORE, "from keras_reweight.core import state\nfrom .. import state"),
    (rules.long_file, WEIGHTING, "x = 1\n" * 400),
    (rules.private_access, CORE, "from keras.src import backend\nmodel._metrics"),
    (rules.private_access, CALLBACK, "class A:\n    def f(self):\n        self._x, super()._y()"),
    (
        rules.private_access,
        CALLBACK,
        "class A:\n    def __init__(self):\n        self._x = 1\n"
        "    def __eq__(self, other):\n        return self._x == other._x",
    ),
    (rules.private_access, CALLBACK, "row._asdict()\nmodule.__name__\ntype(self)._cache"),
    (rules.private_access, CALLBACK, "from keras_reweight.callbacks._shared import f"),
    (rules.swallowed_exceptions, WEIGHTING, "try:\n    f()\nexcept KeyError:\n    pass"),
    (
        rules.swallowed_exceptions,
        WEIGHTING,
        "try:\n    f()\nexcept Exception as error:\n    raise ValueError('bad') from error",
    ),
    (rules.unsafe_code, WEIGHTING, "np.load(f, allow_pickle=False)\nmodel.evaluate(x)"),
    (rules.unsafe_code, WEIGHTING, "deserialize(config, safe_mode=safe_mode)\nimport copy"),
]


def readable(value: object) -> str:
    return value.__name__ if callable(value) else ""


@pytest.mark.parametrize(("rule", "path", "source"), PLANTED, ids=readable)
def test_the_rule_catches_a_planted_violation(rule, path, source):
    violations = rule(source, path)
    assert violations
    assert all(violation.partition(":")[0].isdigit() for violation in violations)


@pytest.mark.parametrize(("rule", "path", "source"), ALLOWED, ids=readable)
def test_the_rule_lets_good_code_pass(rule, path, source):
    assert rule(source, path) == []


def test_every_rule_has_planted_violations():
    planted = {rule for rule, _, _ in PLANTED}
    assert planted == {*rules.PACKAGE_RULES, rules.forbidden_words}
    assert planted == {rule for rule, _, _ in ALLOWED}

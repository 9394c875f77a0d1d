"""A new method is its file, its test, one catalog row and one export line, and nothing else.

Done for real in a scratch copy of the project, once correctly and once with a bug: the contract
runs for both with no further edit, passes the first and catches the second.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

METHOD = '''"""Toy weighting."""

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class {name}(Weighting):
    """Weights that fall with the loss.

    Use it nowhere: `w = 1 / (offset + loss)`, divided by the sum.

    Args:
        offset: Float > 0. Defaults to `1.0`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, sum one.

    Raises:
        TypeError: If `offset` is not a number.
        ValueError: If `offset` is not positive.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.{name}(2.0)(np.array([0.5, 1.0], "float32"))
    ```

    Reference:
        None; a toy.
    """

    normalization = "sum_one"

    def __init__(self, offset=1.0):
        check_number("offset", offset, exclusive_minimum=0.0)
        self.offset = offset

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        raw = ops.where(valid, 1.0 / ({formula}), ops.zeros_like(losses))
        total = ops.sum(raw)
        return raw / ops.where(total > 0.0, total, 1.0)

    def get_config(self):
        return {{"offset": self.offset}}
'''

TEST = '''"""{name}: the formula in NumPy."""


def reference(losses, offset):
    raw = 1.0 / (offset + losses)
    return raw / raw.sum()
'''

ROW = """
ROWS.append(
    Row(
        kr.weightings.{name},
        "weighting",
        arguments={{"offset": 0.5}},
        knob={{"offset": 3.0}},
        reference="tests.reweight.weightings.test_{module}:reference",
        bad_arguments=(({{"offset": 0.0}}, ValueError, "offset"),),
    )
)
"""

EXPORT = """
from keras_reweight.weightings.{module} import {name}  # noqa: E402

__all__ = sorted([*__all__, "{name}"])
"""


def add_method(root: Path, name: str, formula: str) -> None:
    """The four places, and no other."""
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    values = {"name": name, "module": module, "formula": formula}
    weightings = root / "keras_reweight" / "weightings"
    (weightings / f"{module}.py").write_text(METHOD.format(**values))
    test = root / "tests" / "reweight" / "weightings" / f"test_{module}.py"
    test.write_text(TEST.format(**values))
    for path, text in (
        (root / "tests" / "contract" / "catalog" / "weightings.py", ROW),
        (weightings / "__init__.py", EXPORT),
    ):
        path.write_text(path.read_text() + text.format(**values))


@pytest.fixture
def scratch(tmp_path):
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("keras_compress", "keras_reweight", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.py")}


def test_a_toy_method_touches_four_places_and_its_bug_is_caught(scratch):
    before = files(scratch)
    add_method(scratch, "ToyInverse", "self.offset + losses")
    after = files(scratch)
    assert sum(before.get(path) != after[path] for path in after) == 4

    add_method(scratch, "ToyMistake", "self.offset + 1.01 * losses")
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_REWEIGHT_PARITY"}
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    command += ["tests/contract/test_contract.py", "tests/contract/test_public_names.py"]
    # The names that every other method has are somebody else's test.
    command += ["-k", "ToyInverse or ToyMistake or every_row"]
    run = subprocess.run(
        command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=300
    )
    failed = re.findall(r"^FAILED \S+\[(\S+)\]", run.stdout, re.MULTILINE)
    assert failed == ["ToyMistake-value_equals_reference"], run.stdout + run.stderr
    assert re.search(r"1 failed, \d{2} passed", run.stdout), run.stdout

"""What the tests of attacks share."""

from __future__ import annotations

import pytest

from tests.reweight.attacks.eager import untraced


@pytest.fixture(autouse=True)
def _untraced():
    with untraced():
        yield

"""The catalog and what the packages offer are the same."""

from __future__ import annotations

import keras_compress
import keras_reweight
from keras_reweight.core.testing.public_names import names_without_row, rows_without_name
from tests.contract.catalog import rows

PACKAGES = (keras_compress, keras_reweight)


def test_every_public_name_has_a_row():
    missing = names_without_row(PACKAGES, rows())
    assert not missing, (
        f"public names without a row in tests/contract/catalog: {missing}. Add one each; the "
        "contract then runs for it."
    )


def test_every_row_is_public():
    private = rows_without_name(PACKAGES, rows())
    assert not private, f"catalog rows for what no `__all__` lists: {private}"

"""Per-sample memory by sample id."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from keras_reweight.core.files import load_arrays, save_arrays
from keras_reweight.core.validation import check_integer

_KIND = "keras-reweight/sample-table-1"


class SampleTable:
    """Columns of one value per training sample, addressed by sample id.

    The memory of methods that look at a whole run: weights, last losses, scores, counts. Row `i`
    belongs to the sample whose id is `i`; reading and writing a batch of ids is O(batch).

    Args:
        num_samples: Integer >= 1, number of rows.
        columns: Dict from column name to its initial value, a number or an array of shape
            `(num_samples,)`; the dtype of the value is kept. Defaults to `None`: no columns.

    Returns:
        A table; `table["weight"]` is the array of shape `(num_samples,)` itself, not a copy.

    Raises:
        TypeError: If `num_samples` is not an integer or `columns` not a dict.
        ValueError: If `num_samples < 1` or a column has another shape.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    table = kr.data.SampleTable(5, {"weight": 1.0, "loss": np.nan})
    table.update(np.array([3, 1]), loss=np.array([0.5, 2.0]))
    assert table.gather(np.array([1]), "loss")[0] == 2.0
    ```

    Reference:
        None; container used by `EL2NReweight`.
    """

    def __init__(self, num_samples: int, columns: dict[str, Any] | None = None):
        check_integer("num_samples", num_samples, minimum=1)
        if not (columns is None or isinstance(columns, dict)):
            raise TypeError(f"`columns` must be a dict from name to values, got {columns!r}.")
        self.num_samples = int(num_samples)
        self._columns: dict[str, np.ndarray] = {}
        for name, value in (columns or {}).items():
            self[name] = value

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._columns:
            raise KeyError(f"No column {name!r}; this table has {sorted(self._columns)}.")
        return self._columns[name]

    def __setitem__(self, name: str, value: Any) -> None:
        value = np.asarray(value)
        if value.dtype == np.float64 and value.ndim == 0:
            value = value.astype(np.float32)
        if value.ndim == 0:
            value = np.full((self.num_samples,), value)
        if value.shape != (self.num_samples,):
            raise ValueError(
                f"Column {name!r} must have shape ({self.num_samples},), got {value.shape}."
            )
        self._columns[name] = np.array(value)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return self.num_samples

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order they were added."""
        return list(self._columns)

    def gather(self, sample_id: np.ndarray, name: str) -> np.ndarray:
        """Values of one column for a batch of ids, shape `(batch,)`."""
        return self[name][self._check_ids(sample_id)]

    def update(self, sample_id: np.ndarray, **values: Any) -> None:
        """Write values of shape `(batch,)` for a batch of ids; of repeated ids the last one stays.

        Every name, id and shape is checked before the first write.
        """
        sample_id = self._check_ids(sample_id)
        arrays = {name: np.asarray(value) for name, value in values.items()}
        for name, array in arrays.items():
            if array.shape not in ((), sample_id.shape):
                raise ValueError(
                    f"`{name}` must have shape {sample_id.shape} like `sample_id`, "
                    f"got {array.shape}."
                )
            self[name]
        for name, array in arrays.items():
            self[name][sample_id] = array

    def save(self, path: str | os.PathLike) -> None:
        """Write the table to one safetensors file, aside and then renamed."""
        save_arrays(
            path,
            self._columns,
            kind=_KIND,
            header={"num_samples": self.num_samples, "columns": self.columns},
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> SampleTable:
        """Read what `save` wrote; a damaged file raises `ValueError`."""
        arrays, header = load_arrays(path, kind=_KIND)
        return cls(header["num_samples"], {name: arrays[name] for name in header["columns"]})

    def _check_ids(self, sample_id):
        sample_id = np.asarray(sample_id)
        if not np.issubdtype(sample_id.dtype, np.integer):
            raise TypeError(f"`sample_id` must be an integer array, got dtype {sample_id.dtype}.")
        if sample_id.size and not 0 <= sample_id.min() <= sample_id.max() < self.num_samples:
            raise ValueError(
                f"`sample_id` must lie in 0..{self.num_samples - 1}, "
                f"got {sample_id.min()}..{sample_id.max()}."
            )
        return sample_id

"""Collects checkpoints of a training for a soup."""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
from typing import Any

import keras

from keras_reweight.core.files import write_atomically
from keras_reweight.core.validation import check_choice, check_integer
from keras_reweight.core.weight_files import save_weights_alone

_INDEX = "soup.json"
_FILE = re.compile(r"epoch-\d+\.weights\.h5")
_SMALLER_IS_BETTER = ("loss", "error")
_LARGER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1")


@keras.saving.register_keras_serializable(package="keras_reweight")
class SoupCollector(keras.callbacks.Callback):
    """Save the weights of the last epochs, or of the best ones, as ingredients of a soup.

    Averaging the last epochs of a training with a large or cyclic learning rate takes out the noise
    of its steps, often as well as lowering the rate would. Train with it, then
    `kr.merging.greedy_soup(model, collector.files, score=...)` or `uniform_soup`. The training
    itself is not touched. For several trainings use several directories.

    Files have the weights alone, without the optimizer; they are written aside and renamed, and
    `soup.json` lists them. A training that is resumed (`initial_epoch`) keeps the files of earlier
    epochs; those of its own epochs and later ones are left from an earlier run and are replaced.

    Args:
        directory: String or path, where the files go; made when it is not there.
        every: Integer >= 1, epochs between two files. Defaults to `1`.
        keep: Integer >= 1, number of files that are kept, or `None` for all. Defaults to `5`.
        monitor: String, name of an entry of the logs such as `"val_accuracy"`: the best epochs are
            kept. `None` keeps the last ones. Defaults to `None`.
        mode: `"min"`, `"max"`, or `"auto"`, which judges by the name whether less is better.
            Defaults to `"auto"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `files` are the paths of the weight files, in the
        order of the epochs, also in a new process.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `directory` is empty, a number is smaller than 1, or `mode` unknown or not to
            be judged from `monitor`; in `fit`, if `monitor` is not in the logs or the list of files
            damaged.

    Example:

    ```python
    import tempfile
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    collector = kr.merging.SoupCollector(tempfile.mkdtemp(), keep=2)
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0, callbacks=[collector])
    soup = kr.merging.uniform_soup(model, collector.files)
    assert len(soup.ingredients) == 2
    ```

    Reference:
        Wortsman et al., "Model soups", ICML 2022, arXiv 2203.05482; Izmailov et al., "Averaging
        Weights Leads to Wider Optima and Better Generalization", UAI 2018, arXiv 1803.05407, for
        the epochs of one training.

    Cost:
        One file of the size of the weights for each epoch that is kept.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        every: int = 1,
        keep: int | None = 5,
        monitor: str | None = None,
        mode: str = "auto",
    ):
        super().__init__()
        if not isinstance(directory, (str, os.PathLike)):
            raise TypeError(f"`directory` must be a string or a path, got {directory!r}.")
        if not str(directory):
            raise ValueError(f"`directory` must name a directory, got {directory!r}.")
        check_integer("every", every, minimum=1)
        if keep is not None:
            check_integer("keep", keep, minimum=1)
        if monitor is not None and not isinstance(monitor, str):
            raise TypeError(f"`monitor` must be a string or None, got {monitor!r}.")
        check_choice("mode", mode, ("auto", "min", "max"))
        self.directory = directory
        self.every = every
        self.keep = keep
        self.monitor = monitor
        self.mode = mode
        self._begun = False
        self._sign()

    @property
    def files(self) -> list[str]:
        """Paths of the weight files there are now, by epoch."""
        return [self._path(entry) for entry in self._entries()]

    def on_train_begin(self, logs=None):
        self._begun = False

    def on_epoch_begin(self, epoch, logs=None):
        if not self._begun:
            self._begun = True
            entries = self._entries()
            self._store(entries, [entry for entry in entries if entry["epoch"] < epoch])

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        value = self._value(logs or {})
        entries = self._entries()
        new = {"epoch": epoch, "file": f"epoch-{epoch:04d}.weights.h5", "value": value}
        wanted = self._best([*entries, new])
        if new in wanted:
            save_weights_alone(self.model, self._path(new))
            self._store(entries, wanted)

    def get_config(self) -> dict:
        return {
            "directory": str(self.directory),
            "every": self.every,
            "keep": self.keep,
            "monitor": self.monitor,
            "mode": self.mode,
        }

    @classmethod
    def from_config(cls, config: dict) -> SoupCollector:
        return cls(**config)

    def _value(self, logs):
        if self.monitor is None:
            return None
        if self.monitor not in logs:
            raise ValueError(
                f"`monitor`={self.monitor!r} is not in the logs; they have {sorted(logs)}."
            )
        value = float(logs[self.monitor])
        return value if math.isfinite(value) else None

    def _best(self, entries):
        """The entries to keep, by epoch; what has no finite value does not count."""
        if self.monitor is None:
            ranked = sorted(entries, key=lambda entry: -entry["epoch"])
        else:
            sign = self._sign()
            valued = [entry for entry in entries if entry["value"] is not None]
            ranked = sorted(valued, key=lambda entry: (-sign * entry["value"], entry["epoch"]))
        return sorted(ranked[: self.keep], key=lambda entry: entry["epoch"])

    def _sign(self):
        """1 where more is better, -1 where less is."""
        if self.mode != "auto" or self.monitor is None:
            return -1 if self.mode == "min" else 1
        if any(part in self.monitor for part in _SMALLER_IS_BETTER):
            return -1
        if any(part in self.monitor for part in _LARGER_IS_BETTER):
            return 1
        raise ValueError(
            f"`mode`='auto' cannot tell whether less of `monitor`={self.monitor!r} is better; pass "
            "'min' or 'max'."
        )

    def _path(self, entry):
        return str(pathlib.Path(self.directory) / entry["file"])

    def _entries(self) -> list[dict[str, Any]]:
        path = pathlib.Path(self.directory) / _INDEX
        if not path.is_file():
            return []
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            for entry in entries:
                if set(entry) != {"epoch", "file", "value"} or not _FILE.fullmatch(entry["file"]):
                    raise ValueError(f"{entry!r} is no entry")
                if not isinstance(entry["epoch"], int):
                    raise ValueError(f"{entry['epoch']!r} is no epoch")
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{str(path)!r} is not a list of soup files: {error}.") from error
        return [entry for entry in entries if os.path.isfile(self._path(entry))]

    def _store(self, before, entries):
        """List these; a file goes after the list that has it no longer is written."""
        if before == entries:
            return
        text = json.dumps(entries, indent=1)
        write_atomically(pathlib.Path(self.directory) / _INDEX, text.encode())
        listed = {entry["file"] for entry in entries}
        for entry in before:
            if entry["file"] not in listed:
                pathlib.Path(self._path(entry)).unlink(missing_ok=True)

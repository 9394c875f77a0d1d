"""Back up the state of our callbacks beside Keras' own backup of the model."""

from __future__ import annotations

import os
import pathlib
import re
import warnings

import keras
import numpy as np

from keras_reweight.core.files import load_arrays, save_arrays
from keras_reweight.core.training_callback import attached_callbacks
from keras_reweight.core.validation import check_boolean, check_integer

_KIND = "keras-reweight/callback-state-1"
_FILE = re.compile(r"callback-state-(\d+)\.safetensors")


@keras.saving.register_keras_serializable(package="keras_reweight")
class BackupState(keras.callbacks.Callback):
    """Save the state of this package's callbacks, and restore it when training is resumed.

    `keras.callbacks.BackupAndRestore` restores weights, optimizer and epoch; per-sample weights,
    step counts and masks of callbacks are not in its file. List the callbacks with state first,
    then `BackupState`, then `BackupAndRestore`, and use the same arguments for both. The state
    of the last two epochs is kept, so a process killed between the two backups still resumes from
    a matching pair. Files are written aside and renamed.

    Args:
        backup_dir: String or path, directory of the backup; may be that of `BackupAndRestore`.
        save_freq: `"epoch"`, or an integer number of batches as in `BackupAndRestore`.
            Defaults to `"epoch"`.
        delete_checkpoint: Boolean, whether the files are deleted when training has finished.
            Defaults to `True`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; arrays are stored with the shapes the callbacks use.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `backup_dir` is empty or `save_freq` neither `"epoch"` nor an integer >= 1;
            in `fit`, if it is listed before a callback with state, or a backup is damaged.

    Example:

    ```python
    import tempfile
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    backup_dir = tempfile.mkdtemp()
    callbacks = [
        kr.callbacks.Reweight(kr.weightings.LinUpper()),
        kr.callbacks.BackupState(backup_dir),
        keras.callbacks.BackupAndRestore(backup_dir),
    ]
    model.fit(np.ones((8, 4)), np.ones((8, 1)), epochs=2, verbose=0, callbacks=callbacks)
    ```

    Reference:
        None; the companion of `keras.callbacks.BackupAndRestore`.
    """

    def __init__(self, backup_dir, *, save_freq="epoch", delete_checkpoint: bool = True):
        super().__init__()
        if not isinstance(backup_dir, (str, os.PathLike)):
            raise TypeError(f"`backup_dir` must be a string or a path, got {backup_dir!r}.")
        if not str(backup_dir):
            raise ValueError(f"`backup_dir` must name a directory, got {backup_dir!r}.")
        if save_freq != "epoch":
            if isinstance(save_freq, str):
                raise ValueError(f"`save_freq` must be 'epoch' or an integer, got {save_freq!r}.")
            check_integer("save_freq", save_freq, minimum=1)
        check_boolean("delete_checkpoint", delete_checkpoint)
        self.backup_dir = backup_dir
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        self._restored = False
        self._listed_before: list[str] = []
        self._epoch = 0
        self._batches_since_save = 0
        self._last_batch = -1

    def set_model(self, model):
        super().set_model(model)
        self._restored = False
        self._listed_before = [callback.name for callback in attached_callbacks(model)]

    def on_train_begin(self, logs=None):
        # Saving must see what the other callbacks did at the end of the epoch.
        names = [callback.name for callback in attached_callbacks(self.model)]
        late = [name for name in names if name not in self._listed_before]
        if late:
            raise ValueError(
                f"List `BackupState` after the callbacks whose state it keeps ({late})."
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._last_batch = epoch, -1
        if not self._restored:
            self._restored = True
            if epoch > 0:
                self._restore(epoch)

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq == "epoch":
            return
        self._batches_since_save += batch - self._last_batch
        self._last_batch = batch
        if self._batches_since_save >= self.save_freq:
            self._batches_since_save = 0
            self._save(self._epoch)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch + 1)

    def on_train_end(self, logs=None):
        if self.delete_checkpoint:
            for path in self._files().values():
                path.unlink(missing_ok=True)

    def _files(self):
        directory = pathlib.Path(self.backup_dir)
        if not directory.is_dir():
            return {}
        matches = {path: _FILE.fullmatch(path.name) for path in directory.iterdir()}
        return {int(match[1]): path for path, match in matches.items() if match}

    def _save(self, epoch):
        arrays = {}
        for callback in attached_callbacks(self.model):
            for key, value in callback.get_state().items():
                arrays[f"{callback.name}/{key}"] = np.asarray(value)
        names = [callback.name for callback in attached_callbacks(self.model)]
        path = pathlib.Path(self.backup_dir) / f"callback-state-{epoch}.safetensors"
        save_arrays(path, arrays, kind=_KIND, header={"epoch": epoch, "callbacks": names})
        for old, old_path in self._files().items():
            if not epoch - 1 <= old <= epoch:
                old_path.unlink(missing_ok=True)

    def _restore(self, epoch):
        callbacks = attached_callbacks(self.model)
        path = self._files().get(epoch)
        if path is None:
            if callbacks:
                warnings.warn(
                    f"No saved callback state for epoch {epoch} in {str(self.backup_dir)!r}: "
                    f"{[callback.name for callback in callbacks]} start afresh.",
                    stacklevel=2,
                )
            return
        arrays, header = load_arrays(path, kind=_KIND)
        names = [callback.name for callback in callbacks]
        if sorted(header["callbacks"]) != sorted(names):
            raise ValueError(
                f"{str(path)!r} holds the state of callbacks {header['callbacks']}, but this fit "
                f"has {names}."
            )
        for callback in callbacks:
            prefix = f"{callback.name}/"
            callback.set_state(
                {key[len(prefix) :]: v for key, v in arrays.items() if key.startswith(prefix)}
            )

    def get_config(self) -> dict:
        return {
            "backup_dir": str(self.backup_dir),
            "save_freq": self.save_freq,
            "delete_checkpoint": self.delete_checkpoint,
        }

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)

"""Layers that an interrupted run has finished, one file each."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.quantization.packed_format import pack_matrix, unpack_matrix
from keras_reweight.core.files import load_arrays, save_arrays
from keras_reweight.core.model_file import WeightArrays

_KIND = "keras_compress.post_training_layer"


class FinishedLayers:
    """A folder with what was found for every layer, for the run that `settings` describe.

    Files are written aside and renamed, so an interruption leaves whole layers only.
    """

    def __init__(self, directory: str | os.PathLike | None, settings: dict[str, Any]):
        self._directory = None if directory is None else pathlib.Path(directory)
        self._settings = settings

    def load(self, number: int, path: str) -> tuple[QuantizedMatrix, dict[str, Any]] | None:
        """The matrix of a layer and its line of the report, or `None` if there is no file.

        Raises:
            ValueError: If the file is damaged or of a run with other settings.
        """
        if self._directory is None or not self._file(number).is_file():
            return None
        arrays, header = load_arrays(self._file(number), kind=_KIND)
        settings = {**self._settings, "layer": path}
        if header.get("settings") != settings:
            raise ValueError(
                f"`directory`: {str(self._file(number))!r} is of another run. It has "
                f"{header.get('settings')}, this run {settings}. Use another folder."
            )
        record = header["record"]
        matrix = unpack_matrix(record, WeightArrays(0, arrays, set(arrays)))
        return matrix, header["line"]

    def save(self, number: int, path: str, matrix: QuantizedMatrix, line: dict[str, Any]) -> None:
        """Keep the matrix of a layer and its line of the report."""
        if self._directory is None:
            return
        record, parts = pack_matrix(matrix)
        record = {"shape": list(matrix.shape), **record}
        header = {
            "settings": {**self._settings, "layer": path},
            "record": record,
            "line": line,
        }
        arrays = {f"0.{name}": array for name, array in parts.items()}
        save_arrays(self._file(number), arrays, kind=_KIND, header=header)

    def _file(self, number):
        return self._directory / f"layer_{number:04d}.safetensors"

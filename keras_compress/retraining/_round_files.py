"""Rounds on disk, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_reweight.core.files import load_arrays, save_arrays

_START, _ROUND = "iterative_prune_start", "iterative_prune_round"


class RoundFiles:
    """One file with what all rounds begin from, one for each finished round.

    Args:
        directory: Where the files are; made if it does not exist.
        config: JSON-like dict; files of another configuration are refused.
    """

    def __init__(self, directory: Any, config: dict[str, Any]):
        self.directory = pathlib.Path(directory)
        self.config = json.loads(json.dumps(config, sort_keys=True))

    def load_start(self) -> list[np.ndarray] | None:
        """The weights of the beginning; `None` if there is nothing yet."""
        path = self.directory / "start.safetensors"
        if not path.is_file():
            return None
        arrays, header = load_arrays(path, kind=_START)
        found = header["config"]
        if found != self.config:
            names = [key for key in self.config if self.config[key] != found.get(key)]
            raise ValueError(
                f"`directory`={str(self.directory)!r} holds a run of another configuration: "
                f"{ {name: found.get(name) for name in names} }, now "
                f"{ {name: self.config[name] for name in names} }. Take another directory."
            )
        return _listed(arrays, "weight")

    def save_start(self, weights: Sequence[np.ndarray]) -> None:
        path = self.directory / "start.safetensors"
        save_arrays(path, _named("weight", weights), kind=_START, header={"config": self.config})

    def load_round(self, index: int) -> dict[str, Any] | None:
        """What `save_round` got; `None` for a round that is not finished."""
        path = self._round(index)
        if not path.is_file():
            return None
        arrays, header = load_arrays(path, kind=_ROUND)
        lists = {key: _listed(arrays, key) for key in ("weight", "mask", "rewind")}
        return {**lists, "metrics": header["metrics"], "iterations": header["iterations"]}

    def save_round(
        self,
        index: int,
        *,
        weight: Sequence[np.ndarray],
        mask: Sequence[np.ndarray],
        rewind: Sequence[np.ndarray],
        metrics: dict[str, float],
        iterations: int,
    ) -> None:
        arrays = {**_named("weight", weight), **_named("mask", mask), **_named("rewind", rewind)}
        header = {"metrics": metrics, "iterations": iterations}
        save_arrays(self._round(index), arrays, kind=_ROUND, header=header)

    def _round(self, index):
        return self.directory / f"round-{index:03d}.safetensors"


def _named(key, arrays):
    return {f"{key}/{i}": array for i, array in enumerate(arrays)}


def _listed(arrays, key):
    count = sum(name.startswith(f"{key}/") for name in arrays)
    return [arrays[f"{key}/{i}"] for i in range(count)]

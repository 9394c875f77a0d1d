"""Keras' own GPTQ and AWQ are rounding to nearest, ours are not.

Claim: `model.quantize("gptq")` and `model.quantize("awq")` of Keras 3.15.1 give what rounding does,
as their calibration never runs; `post_training.quantize` with GPTQ loses less on the same layers,
in less time.

Paper: Frantar et al., GPTQ, arXiv 2210.17323; Lin et al., AWQ, arXiv 2306.00978.

Setting: The transformer of `language_model_quantization`, trained on Tiny Shakespeare. The kernels
in its blocks in groups of 64 inputs, asymmetric, 64 windows to solve on, all in one process on
PyTorch, where Keras' solvers are fastest, with one thread; `seconds` include the forward passes.
Keras' AWQ has 4 bits only. Loss: logarithm of the perplexity minus that of the float model.

Criterion: At 4 and 3 bits, the loss of our GPTQ is at most 0.7 of that of Keras', and it takes at
most its time.
"""

from __future__ import annotations

import os
import pathlib
import tempfile

import numpy as np

from evidence._characters import encode
from evidence._language_model import FLOAT, PERPLEXITY, SECONDS, STEPS, trained
from evidence._processes import peer_rows
from evidence.result import Result

SEEDS = 1


def run(data, seeds, quick) -> Result:
    result = Result()
    ids, num_characters = encode(data.shakespeare)
    for seed in seeds:
        model, calibration, test = trained(ids, num_characters, seed, 40 if quick else STEPS)
        arrays = {f"weight_{n}": value for n, value in enumerate(model.get_weights())}
        arrays |= {"calibration": calibration[0], "x": test[0], "y": test[1]}
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "model.npz"
            np.savez(path, num_characters=num_characters, **arrays)
            for row in _on_torch(result, str(path)):
                result.append(row["arm"], PERPLEXITY, row["perplexity"])
                if row["arm"] != FLOAT:
                    result.append(row["arm"], SECONDS, row["seconds"])
    if not result.rows:
        return result

    def loss(arm):
        return np.log(result.center(arm, PERPLEXITY) / result.center(FLOAT, PERPLEXITY))

    for bits in (4, 3):
        own, theirs = f"{bits} bits, GPTQ", f"{bits} bits, Keras gptq"
        share = loss(own) / loss(theirs)
        result.at_most(f"loss of GPTQ over that of Keras' at {bits} bits", share, 0.7)
        share = result.center(own, SECONDS) / result.center(theirs, SECONDS)
        result.at_most(f"time of GPTQ over that of Keras' at {bits} bits", share, 1.0)
    return result


def _on_torch(result, path):
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        return peer_rows(result, "benchmarks.keras_solver_peer", path)
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before

"""Keras' own `quantize("gptq")` and `quantize("awq")` beside ours, on one trained language model.

`python -m benchmarks.keras_solver_peer FILE` reads weights, calibration windows and test windows
from an `.npz` file and prints one line of JSON for each arm: perplexity and seconds. The same
layers, group sizes and windows for all; run it on torch, where Keras' solvers are fastest.
"""

from __future__ import annotations

import argparse
import json
import time

import keras
import numpy as np

from evidence._character_transformer import BLOCKS, transformer
from evidence._characters import LENGTH, mean_loss
from keras_compress.post_training import AWQ, GPTQ, RoundToNearest, quantize

GROUP_SIZE = 64
LAYERS = ("query", "key", "value", "attention_output", "up", "down")


class _Ids:
    """Keras asks for a tokenizer, also where the data are ids already."""

    def tokenize(self, text):
        raise ValueError(f"the data are ids, got {text!r:.20}")


def keras_arm(model: keras.Model, mode: str, bits: int, calibration: np.ndarray) -> None:
    """Quantize the blocks of `model` in place."""
    blocks = [model.get_layer(name) for name in BLOCKS]
    before = keras.Model(model.input, blocks[0].input)
    kind = keras.quantizers.GPTQConfig if mode == "gptq" else keras.quantizers.AWQConfig
    config = kind(
        dataset=[row[None] for row in calibration],
        tokenizer=_Ids(),
        weight_bits=bits,
        num_samples=len(calibration),
        sequence_length=LENGTH,
        group_size=GROUP_SIZE,
        quantization_layer_structure={"pre_block_layers": [before], "sequential_blocks": blocks},
    )
    model.quantize(mode, config=config, filters=[f"^{name}$" for name in LAYERS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    with np.load(parser.parse_args().file, allow_pickle=False) as file:
        arrays = dict(file)
    weights = [arrays[f"weight_{n}"] for n in range(sum("weight_" in name for name in arrays))]
    test = arrays["x"], arrays["y"]

    def fresh():
        model = transformer(int(arrays["num_characters"]))
        model.set_weights(weights)
        return model

    def report(arm, model, seconds):
        perplexity = float(np.exp(mean_loss(model, *test)))
        print(json.dumps({"arm": arm, "perplexity": perplexity, "seconds": seconds}), flush=True)

    report("float", fresh(), 0.0)
    for bits in (4, 3):
        for name, solver in (("rounding", RoundToNearest()), ("GPTQ", GPTQ()), ("AWQ", AWQ())):
            begin = time.perf_counter()
            found = quantize(
                fresh(),
                arrays["calibration"],
                solver=solver,
                bits=bits,
                group_size=GROUP_SIZE,
                layers=list(BLOCKS),
            )
            report(f"{bits} bits, {name}", found.model, time.perf_counter() - begin)
        for mode in ("gptq", "awq") if bits == 4 else ("gptq",):
            model = fresh()
            begin = time.perf_counter()
            keras_arm(model, mode, bits, arrays["calibration"])
            report(f"{bits} bits, Keras {mode}", model, time.perf_counter() - begin)


if __name__ == "__main__":
    main()

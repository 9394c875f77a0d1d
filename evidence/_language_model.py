"""One small language model, quantized by every solver: what the claims about texts share."""

from __future__ import annotations

import time

import keras
import numpy as np

from evidence._character_transformer import BLOCKS, transformer
from evidence._characters import LENGTH, cross_entropy, encode, mean_loss, windows
from evidence.result import Result
from evidence.training import start
from keras_compress.post_training import (
    AWQ,
    BAQ,
    GPTAQ,
    GPTQ,
    Codebook,
    CoordinateDescent,
    LearnedPower,
    LearnedRounding,
    PowerSearch,
    ResComp,
    Rotated,
    RoundToNearest,
    SparseOutliers,
    quantize,
    token_importance,
)

BATCH, STEPS, NUM_CALIBRATION, NUM_TEST = 32, 500, 64, 300
BITS = (4, 3, 2)
NEAREST, SYMMETRIC, IN_GROUPS = "rounding", "rounding, symmetric", "GPTQ, groups of 32"
PERPLEXITY, STORED, SECONDS = "perplexity", "bits a weight", "seconds"
FLOAT, LEARNED = "float", "NUPES, learned"
#: Label -> solver, and options of `quantize`.
SOLVERS: dict = {
    NEAREST: (RoundToNearest(), {}),
    SYMMETRIC: (RoundToNearest(), {"symmetric": True}),
    "rounding, AdaDim": (RoundToNearest(axis="auto"), {}),
    "GPTQ": (GPTQ(), {}),
    "GPTQ, act_order": (GPTQ(act_order=True), {}),
    IN_GROUPS: (GPTQ(), {"group_size": 32}),
    "GPTAQ": (GPTAQ(), {}),
    "ResComp": (ResComp(), {}),
    "BAQ": (BAQ(), {}),
    "AWQ": (AWQ(), {}),
    "RSQ": (Rotated(GPTQ()), {"token_weights": True}),
    "GWQ": (SparseOutliers(RoundToNearest()), {}),
    "AdaRound": (LearnedRounding(steps=300), {"symmetric": True}),
    "NUPES": (PowerSearch(), {"symmetric": True}),
    LEARNED: (LearnedPower(), {"symmetric": True}),
    "k-means": (Codebook(), {}),
    "coordinate descent": (CoordinateDescent(GPTQ()), {}),
}


def compare(text: str, seeds, quick: bool) -> Result:
    """Perplexity of every solver at every bit width, and the checks of the criterion."""
    result = Result()
    ids, num_characters = encode(text)
    for seed in seeds:
        _one_seed(result, ids, num_characters, seed, 40 if quick else STEPS)

    def gap(label, bits):
        found = result.center(_arm(label, bits), PERPLEXITY)
        return np.log(found / result.center(FLOAT, PERPLEXITY))

    for bits in (3, 2):
        for label, other, limit in (
            ("GPTQ", NEAREST, 0.7),
            ("GPTAQ", "GPTQ", 1.15),
            ("ResComp", "GPTQ", 1.15),
            ("k-means", NEAREST, 1.0),
        ):
            share = gap(label, bits) / gap(other, bits)
            result.at_most(f"loss of {label} over that of {other} at {bits} bits", share, limit)
    rise = gap("BAQ", 3) - gap("GPTQ", 3)
    result.at_most("loss of BAQ minus that of GPTQ at 3 bits, in nats", rise, 0.003)
    for label in ("NUPES", LEARNED):
        rise = gap(label, 3) - gap(SYMMETRIC, 3)
        text = f"loss of {label} minus symmetric rounding at 3 bits, in nats"
        result.at_most(text, rise, 0.002)
    return result


def trained(ids: np.ndarray, num_characters: int, seed: int, steps: int):
    """A trained model, windows of the training text to solve on, and of the test text."""
    generator = np.random.default_rng([seed, 23])
    cut = int(0.9 * len(ids))
    train = windows(ids, generator.integers(0, cut - LENGTH - 1, steps * BATCH))
    calibration = windows(ids, generator.integers(0, cut - LENGTH - 1, NUM_CALIBRATION))
    test = windows(ids, generator.integers(cut, len(ids) - LENGTH - 1, NUM_TEST))
    start(seed)
    model = transformer(num_characters)
    model.compile(keras.optimizers.Adam(3e-3), cross_entropy())
    model.fit(*train, batch_size=BATCH, shuffle=False, verbose=0)
    return model, calibration, test


def _one_seed(result, ids, num_characters, seed, steps):
    model, calibration, test = trained(ids, num_characters, seed, steps)
    weights = model.get_weights()
    judge = keras.models.clone_model(model)

    def measure(arm, values):
        # One model for all: another one would be compiled again.
        judge.set_weights(values)
        result.append(arm, PERPLEXITY, np.exp(mean_loss(judge, *test)))

    measure(FLOAT, weights)
    importance = token_importance(model, calibration[0])
    for bits in BITS:
        for label, (solver, options) in SOLVERS.items():
            if options.get("token_weights"):
                options = {**options, "token_weights": importance}
            begin = time.perf_counter()
            found = quantize(
                model,
                calibration,
                solver=solver,
                bits=bits,
                layers=list(BLOCKS),
                loss=cross_entropy(),
                **options,
            )
            seconds = time.perf_counter() - begin
            arm = _arm(label, bits)
            measure(arm, found.model.get_weights())
            sizes = [(matrix.num_bytes, matrix.codes.size) for matrix in found.matrices.values()]
            total, count = np.sum(sizes, axis=0)
            result.append(arm, STORED, 8.0 * total / count)
            result.append(arm, SECONDS, seconds)


def _arm(label, bits):
    return f"{bits} bits, {label}"

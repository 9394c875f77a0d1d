"""Our losses against those of other libraries, on torch: the same numbers, and how fast.

`python -m benchmarks.peers` compares Multi-Similarity with
pytorch-metric-learning and the AUC margin loss with LibAUC, on the same batch. Values and gradients
must agree within 1e-5 where the definitions do; the time of a forward and a backward pass is
measured in turns with one thread. A line of JSON for each loss: medians of ten parts of the calls.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np

TOLERANCE = 1e-5
PARTS = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=440, help="timed calls of each loss")
    arguments = parser.parse_args()
    if arguments.rounds <= PARTS:
        parser.error(f"--rounds must be more than {PARTS}, got {arguments.rounds}")
    try:
        import libauc.losses.auc  # noqa: F401
        import pytorch_metric_learning.losses  # noqa: F401
    except ImportError as error:
        print(
            f"{error}. Install the peers: pip install pytorch-metric-learning, and "
            "pip install --no-deps libauc (its other requirements are not needed here).",
            file=sys.stderr,
        )
        return 2
    import torch

    torch.set_num_threads(1)
    rows = [_compare(name, *pair, arguments.rounds) for name, pair in _pairs().items()]
    for row in rows:
        print(json.dumps(row))
    return 0 if all(row["difference"] <= TOLERANCE for row in rows) else 1


def _pairs():
    """Name to (ours, theirs, input): functions from one tensor to a scalar loss."""
    import torch
    from libauc.losses.auc import AUCMLoss
    from pytorch_metric_learning.losses import MultiSimilarityLoss as TheirMultiSimilarity
    from pytorch_metric_learning.miners import MultiSimilarityMiner

    import keras_reweight as kr

    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(80, 64))
    labels = torch.tensor(np.arange(80) % 8)
    # Positives near each other, as after some training: mining then keeps pairs of both kinds.
    embeddings += 0.5 * rng.normal(size=(8, 64))[np.arange(80) % 8]
    embeddings = torch.tensor(embeddings, dtype=torch.float32)
    scores = torch.tensor(rng.random(128), dtype=torch.float32)
    positive = torch.tensor((rng.random(128) < 0.3).astype("float32"))

    theirs, miner = TheirMultiSimilarity(alpha=2, beta=50, base=0.5), MultiSimilarityMiner(0.1)
    mined = kr.losses.MultiSimilarityLoss()
    unmined = kr.losses.MultiSimilarityLoss(mining=False, anchors="any")
    margin = kr.losses.AUCMarginLoss(prior="batch")

    def their_margin(values):
        # At the solution of its inner problems the min-max form is the closed form.
        loss = AUCMLoss(margin=1.0, version="v1", device="cpu")
        mean = values[positive == 1].mean().item(), values[positive == 0].mean().item()
        loss.a.data.fill_(mean[0])
        loss.b.data.fill_(mean[1])
        loss.alpha.data.fill_(max(0.0, 1.0 + mean[1] - mean[0]))
        return loss(values[:, None], positive[:, None])

    return {
        "Multi-Similarity with mining": (
            lambda z: mined(labels, z),
            lambda z: theirs(z, labels, miner(z, labels)),
            embeddings,
        ),
        "Multi-Similarity without mining": (
            lambda z: unmined(labels, z),
            lambda z: theirs(z, labels),
            embeddings,
        ),
        "AUC margin": (lambda h: margin(positive, h), their_margin, scores),
    }


def _compare(name, ours, theirs, values, rounds):
    results = [_value_and_slope(loss, values) for loss in (ours, theirs)]
    difference = max(
        float(np.max(np.abs(mine - other)) / max(np.max(np.abs(other)), 1e-12))
        for mine, other in zip(*results, strict=True)
    )
    seconds = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for key, loss in (("ours", ours), ("theirs", theirs)):
            began = time.perf_counter()
            _value_and_slope(loss, values)
            seconds[key].append(time.perf_counter() - began)
    # The first part is left out: caches fill, memory is touched for the first time.
    parts = {key: np.array_split(values, PARTS + 1)[1:] for key, values in seconds.items()}
    ours, theirs = ([1e3 * float(np.median(part)) for part in parts[key]] for key in parts)
    return {
        "loss": name,
        "value": float(results[0][0]),
        "difference": difference,
        "ms": ours,
        "their ms": theirs,
        "time ratio": [mine / other for mine, other in zip(ours, theirs, strict=True)],
    }


def _value_and_slope(loss, values):
    leaf = values.clone().requires_grad_(True)
    value = loss(leaf)
    value.backward()
    return value.detach().numpy(), leaf.grad.numpy()


if __name__ == "__main__":
    sys.exit(main())

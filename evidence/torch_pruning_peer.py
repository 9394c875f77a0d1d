"""Structured pruning chooses the channels that Torch-Pruning chooses.

Claim: `GroupMagnitude` and `GroupLAMP` score channels as the importances of Torch-Pruning do, and
`prune_structured` keeps the same channels, so that the smaller models compute the same.

Paper: Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900; the peer is
Torch-Pruning 1.6.1.

Setting: `python -m benchmarks.torch_pruning_peer`: a residual network with batch normalization,
trained on 3200 CIFAR images with Keras on torch and copied weight by weight into a network of
torch.nn. Half of the channels go: layer by layer, and by a global ranking of magnitudes and of
LAMP scores. Time of pruning, which on both sides begins with finding the groups, in turns with one
thread. The peer has to be installed (`pip install --no-deps torch-pruning`).

Criterion: Importances differ by at most 1e-5, relative to the largest one; the kernels of the
smaller models are the same, and their logits differ by at most 1e-4. No limit is set for the time.
"""

from __future__ import annotations

from evidence._processes import peer_rows
from evidence.result import Check, Result

SEEDS = 1
METRICS = (
    "dense accuracy %",
    "accuracy %",
    "their accuracy %",
    "seconds",
    "their seconds",
    "time ratio",
)


def run(data, seeds, quick) -> Result:
    result = Result("median")
    options = ("--rounds", "2", "--images", "640") if quick else ("--rounds", "7")
    path = str(data.path("cifar10_12k.npz"))
    for row in peer_rows(result, "benchmarks.torch_pruning_peer", "--data", path, *options):
        arm = row["arm"]
        for metric in METRICS:
            result.add(arm, metric, [row[metric]])
        result.at_most(f"{arm}: largest difference of importances", row["difference"], 1e-5)
        result.checks.append(Check(f"{arm}: the same channels are kept", row["same channels"]))
        result.at_most(f"{arm}: largest difference of logits", row["difference of logits"], 1e-4)
    return result

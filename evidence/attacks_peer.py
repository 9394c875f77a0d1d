"""On torch our attacks find what those of torchattacks and foolbox find.

Claim: `FGSM`, `PGD` in both norms, the attack of TRADES and `APGD` with cross-entropy and DLR lead
the same model to the same images as the attacks of torchattacks and foolbox, and take no longer.

Paper: Goodfellow et al., arXiv 1412.6572; Madry et al., arXiv 1706.06083; Zhang et al., arXiv
1901.08573; Croce and Hein, arXiv 2003.01690; the peers are torchattacks 3.5.1 and foolbox 3.3.4.

Setting: `python -m benchmarks.attacks_peer`: a network of three convolutions with batch
normalization, trained on 10000 CIFAR images with Keras on torch; 512 test images that it gets
right; 8/255 in the maximum norm and 0.5 in L2, 10 steps of a quarter of the radius, 20 steps of
APGD, whose images are compared where theirs fools the model. All begin at the image, that of
TRADES and APGD at the same random place. The peers attack the very same model. Time in turns with
one thread. The peers have to be installed (`pip install foolbox`, `pip install --no-deps
torchattacks`).

Criterion: At least 99 % of the images of an attack are the same within 1e-5, 95 % for APGD, whose
first check differs by design; the accuracies that are left differ by at most 0.5 points; the median
ratio of time is at most 1.05.
"""

from __future__ import annotations

import numpy as np

from evidence._processes import peer_rows
from evidence.result import Result

SEEDS = 1
METRICS = ("clean accuracy %", "accuracy %", "their accuracy %", "same images %")
TIMES = ("ms", "their ms", "time ratio")


def run(data, seeds, quick) -> Result:
    result = Result("median")
    options = ("--rounds", "2", "--images", "64", "--epochs", "1") if quick else ("--rounds", "7")
    path = str(data.path("cifar10_12k.npz"))
    for row in peer_rows(result, "benchmarks.attacks_peer", "--data", path, *options):
        arm = row["arm"]
        for metric in METRICS:
            result.add(arm, metric, [row[metric]])
        for metric in TIMES:
            result.add(arm, metric, row[metric])
        least = 95.0 if arm.startswith("APGD") else 99.0
        result.at_least(f"{arm}: same images in %", row["same images %"], least)
        difference = abs(row["accuracy %"] - row["their accuracy %"])
        result.at_most(f"{arm}: difference of accuracies in points", difference, 0.5)
        result.at_most(f"{arm}: ratio of time", float(np.median(row["time ratio"])), 1.05)
    return result

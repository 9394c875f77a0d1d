"""A sparse auto-encoder finds the features that matter, without labels.

Claim: The inputs to which an evolving sparse auto-encoder connects most strongly are the
informative ones; a classifier trained on them alone is far better than on a random choice.

Paper: Atashgahi et al., "Quick and Robust Feature Selection: the Strength of Energy-efficient
Sparse Training for Autoencoders", arXiv 2012.00560.

Setting: Digits: the 1797 digits of scikit-learn, 64 pixels. MNIST: 6000 images, averaged over
blocks to 14 by 14 pixels, of which the 64 of the largest variance are taken. Beside the pixels 64
features of noise; all standardized, so that the variance tells nothing; two thirds for training.
`quick_selection` with 200 hidden units and 30 epochs selects 25 of the 128 features without seeing
a label. The classifier is `ExtraTreesClassifier` with 50 trees on the selected features. Arms:
QuickSelection, 25 random features, the 25 pixels of the largest variance before standardization
(which nobody could know), and all 128.

Criterion: On both data sets, QuickSelection is at least 8 points better than a random choice, and
at least 80 % of what it selects are pixels.
"""

from __future__ import annotations

import numpy as np

from evidence.data import take
from evidence.result import Result
from keras_compress.sparse_training import quick_selection

SEEDS = 5
NUM_PIXELS, NUM_SELECTED = 64, 25
ACCURACY, REAL = "test accuracy %", "pixels among the selected %"


def run(data, seeds, quick) -> Result:
    from sklearn.datasets import load_digits

    result = Result()
    for seed in seeds:
        digits = load_digits(return_X_y=True)
        (images,) = take(data.mnist, seed, 1_500 if quick else 6_000)
        for name, (pixels, labels) in (
            ("digits", digits),
            ("MNIST", (_small(images[0]), images[1])),
        ):
            _one_seed(result, name, pixels, labels, seed, quick)
    for name in ("digits", "MNIST"):
        result.at_least(
            f"QuickSelection minus random on {name}, in points",
            result.center(f"{name}, QuickSelection", ACCURACY)
            - result.center(f"{name}, random", ACCURACY),
            8.0,
        )
        real = result.center(f"{name}, QuickSelection", REAL)
        result.at_least(f"pixels among the selected on {name}, in %", real, 80.0)
    return result


def _small(images):
    """The 64 pixels of the largest variance of images of half the size."""
    small = images.reshape(len(images), 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    return small[:, np.sort(np.argsort(-small.var(axis=0), kind="stable")[:NUM_PIXELS])]


def _one_seed(result, name, pixels, labels, seed, quick):
    from sklearn.ensemble import ExtraTreesClassifier

    rng = np.random.default_rng([seed, 5])
    order = rng.permutation(len(pixels))
    pixels, labels = pixels[order], labels[order]
    num_train = 2 * len(pixels) // 3
    x = np.concatenate([pixels, rng.normal(size=pixels.shape)], axis=1)
    mean, std = x[:num_train].mean(axis=0), x[:num_train].std(axis=0)
    x = ((x - mean) / np.where(std > 0, std, 1.0)).astype("float32")
    epochs = 5 if quick else 30
    arms = {
        "QuickSelection": quick_selection(
            x[:num_train], NUM_SELECTED, hidden=200, epochs=epochs, seed=seed
        ),
        "random": rng.permutation(x.shape[1])[:NUM_SELECTED],
        "largest variance": np.argsort(-pixels.var(axis=0))[:NUM_SELECTED],
        "all features": np.arange(x.shape[1]),
    }
    for arm, columns in arms.items():
        trees = ExtraTreesClassifier(50, random_state=seed)
        trees.fit(x[:num_train, columns], labels[:num_train])
        found = trees.score(x[num_train:, columns], labels[num_train:])
        result.append(f"{name}, {arm}", ACCURACY, 100.0 * found)
        result.append(f"{name}, {arm}", REAL, 100.0 * float(np.mean(columns < NUM_PIXELS)))

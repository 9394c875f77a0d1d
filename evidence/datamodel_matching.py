"""Matching predicted outputs brings a model close to one trained without the data.

Claim: Outputs of a model trained without some data can be predicted, from the curvature of the last
layer or by regression on runs over parts of the data; a few steps of training towards them, on the
data to forget and on a part of the rest, move the model towards the one trained again.

Paper: Georgiev et al., "Attribute-to-Delete: Machine Unlearning via Datamodel Matching", arXiv
2410.23232.

Setting: MNIST, 2000 images in 20 groups, 784-64-10 network, Adam 0.001, batches of 50, 10 epochs.
The group to forget are 100 images of class 3, half of that class; the other groups are random.
Truth: margins of the label (its logit minus the logsumexp of the others), averaged over three
networks trained without the group. Distance: mean absolute difference from the truth, on the group
and on 2000 test images. Targets for the group and 400 retained images: `predict_removal` (last
layer, damping 0.01), `datamodel_targets` (40 networks, each without a random half of the groups,
with the mean of three networks trained on all as `current`), and the mean outputs of the truth
(oracle). `match_outputs`: 200 steps of 50, Adam 0.0005. Beside it two epochs on the retained data.

Criterion: On the group, after matching to the regression and to the last layer, the distance is
smaller than before; on test images it is at most 10 % larger than before.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, compile_classifier, mlp, start
from keras_reweight.editing import datamodel_targets, match_outputs
from keras_reweight.scores import predict_removal

SEEDS = 3
CLASS, GROUPS, GROUP, BATCH, EPOCHS = 3, 20, 100, 50, 10
RUNS, REPEATS, RETAINED, STEPS, NUM_TEST = 40, 3, 400, 200, 2_000
ON_GROUP, ON_TEST = "distance on the group", "distance on test images"
RIGHT = "accuracy on the group %"
BEFORE, AGAIN, TUNED = "before", "one network trained again", "two epochs on the rest"
LAST, REGRESSION, ORACLE = "matched, last layer", "matched, regression", "matched, oracle"


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        _one_seed(result, data.mnist, 8 if quick else RUNS, seed)
    before = {metric: result.center(BEFORE, metric) for metric in (ON_GROUP, ON_TEST)}
    for arm in (REGRESSION, LAST):
        share = result.center(arm, ON_GROUP) / before[ON_GROUP]
        result.at_most(f"{arm}: {ON_GROUP}, after / before", share, 1.0)
        share = result.center(arm, ON_TEST) / before[ON_TEST]
        result.at_most(f"{arm}: {ON_TEST}, after / before", share, 1.1)
    return result


def _groups(split, seed):
    """Images sorted by group, the one to forget first; labels."""
    ((x, y),) = take(split, seed, 3_000)
    forget = np.flatnonzero(y == CLASS)[:GROUP]
    # As many again stay, so that the class is cut in half.
    stay = np.flatnonzero(y == CLASS)[GROUP : 2 * GROUP]
    others = np.flatnonzero(y != CLASS)[: (GROUPS - 2) * GROUP]
    rest = np.random.default_rng([seed, 5]).permutation(np.concatenate([stay, others]))
    rows = np.concatenate([forget, rest])
    return x[rows], y[rows]


def _one_seed(result, split, runs, seed):
    x, y = _groups(split, seed)
    group = np.repeat(np.arange(GROUPS), GROUP)
    kept = group > 0
    chosen = np.random.default_rng([seed, 6]).choice(np.flatnonzero(kept), RETAINED, replace=False)
    points = np.concatenate([np.flatnonzero(~kept), chosen])
    tests = split.x_test[:NUM_TEST], split.y_test[:NUM_TEST]

    def trained(rows, number):
        start(1_000 * seed + number)
        model = compile_classifier(mlp((64,)))
        model.fit(x[rows], y[rows], batch_size=BATCH, epochs=EPOCHS, verbose=0)
        return model

    def says(model, x):
        return model.predict(x, batch_size=EVALUATION_BATCH, verbose=0).astype("float64")

    def margins(model):
        here = _margins(says(model, x[~kept]), y[~kept])
        return here, _margins(says(model, tests[0]), tests[1])

    again = [trained(kept, 100 + number) for number in range(REPEATS)]
    truth = [np.mean(parts, axis=0) for parts in zip(*map(margins, again), strict=True)]

    def measure(arm, model):
        for metric, found, wanted in zip((ON_GROUP, ON_TEST), margins(model), truth, strict=True):
            result.append(arm, metric, np.abs(found - wanted).mean())
        result.append(arm, RIGHT, 100.0 * np.mean(margins(model)[0] > 0.0))

    oracle = np.mean([says(model, x[points]) for model in again], axis=0)
    masks = np.random.default_rng([seed, 7]).random((runs, GROUPS)) < 0.5
    masks[:, 0] = np.arange(runs) % 2 == 0
    outputs = [
        says(trained(mask[group], 200 + number), x[points]) for number, mask in enumerate(masks)
    ]
    whole = [trained(np.ones(len(x), "bool"), 300 + number) for number in range(REPEATS)]
    current = np.mean([says(model, x[points]) for model in whole], axis=0)
    model = whole[0]
    measure(BEFORE, model)
    targets = {
        LAST: predict_removal(
            model,
            (x, y),
            forget=(x[~kept], y[~kept]),
            x=x[points],
            damping=1e-2,
            batch_size=500,
        ),
        REGRESSION: datamodel_targets(
            masks, np.stack(outputs), current=current, forget=np.array([0])
        ),
        ORACLE: oracle,
    }
    for arm, wanted in targets.items():
        patch = match_outputs(
            model,
            x[points],
            targets=wanted,
            steps=STEPS,
            batch_size=BATCH,
            optimizer=keras.optimizers.Adam(5e-4),
            seed=seed,
        )
        with patch.patched(model):
            measure(arm, model)
    model.fit(x[kept], y[kept], batch_size=BATCH, epochs=2, verbose=0)
    measure(TUNED, model)
    measure(AGAIN, trained(kept, 400))


def _margins(logits, labels):
    own = np.eye(NUM_CLASSES, dtype="bool")[labels]
    others = np.where(own, -np.inf, logits)
    return logits[own] - np.logaddexp.reduce(others, axis=1)

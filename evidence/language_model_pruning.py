"""Half of a small language model can go without training, if its inputs are looked at.

Claim: Without any fine-tuning, weights times the size of their inputs (Wanda) are better to prune
by than weights alone, in 2:4 groups too; layer sparsities from the spectra of the weights
(AlphaPruning with FARMS exponents) help further. A score of general and domain importance
(D-Pruner) keeps both nearly as good as a criterion for either.

Paper: Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (Wanda), ICLR
2024, arXiv 2306.11695; Lu et al., "AlphaPruning", NeurIPS 2024, arXiv 2410.10912, with Hu et al.,
arXiv 2506.06280 (FARMS); Zhang et al., "Pruning as a Domain-specific LLM Extractor" (D-Pruner),
arXiv 2405.06275. Their models have 7 billion weights and more, this one 150000.

Setting: Transformer over characters: 3 blocks of pre-normalized attention (4 heads) and a ReLU
layer of 256, width 64, windows of 64; trained for 500 steps of 32 windows, Adam 0.003, half of them
from Tiny Shakespeare (the domain), half from WikiText-2 (general). Kernels inside the blocks are
pruned, nothing is trained afterwards. Calibration: 128 windows of the training text of the domain;
for D-Pruner, 128 of each. Perplexity per character on 300 windows of the last tenth of each text.
All arms but FARMS take the same share of every kernel; FARMS gives shares to blocks, as the paper
does, or to every kernel.

Criterion: On the domain, Wanda is better than magnitude at 50 % and at 2:4, FARMS with Wanda is at
least as good as Wanda at 70 %, and D-Pruner at 50 % is on either text within 2 % of the better of
Taylor (on the domain) and Wanda (on general data).
"""

from __future__ import annotations

import keras
import numpy as np

from evidence._character_transformer import BLOCKS, transformer
from evidence._characters import LENGTH, cross_entropy, encode, mean_loss, windows
from evidence.result import Result
from evidence.training import start
from keras_compress.pruning import (
    AlphaAllocation,
    DualImportance,
    Magnitude,
    NMPattern,
    RandomScores,
    Taylor,
    UniformAllocation,
    Wanda,
    prune_weights,
)

SEEDS = 3
BATCH, STEPS = 32, 500
DOMAIN, GENERAL = "perplexity on Shakespeare", "perplexity on WikiText"


def run(data, seeds, quick) -> Result:
    result = Result()
    ids, num_characters = encode(data.shakespeare + data.wikitext)
    border = len(data.shakespeare)
    texts = {DOMAIN: ids[:border], GENERAL: ids[border:]}
    for seed in seeds:
        _one_seed(result, texts, num_characters, seed, 40 if quick else STEPS)

    def perplexity(arm, metric=DOMAIN):
        return result.center(arm, metric)

    for amount in ("50 %", "2:4"):
        ratio = perplexity(f"{amount} Wanda") / perplexity(f"{amount} magnitude")
        result.at_most(f"perplexity of Wanda over that of magnitude at {amount}", ratio, 1.0)
    ratio = perplexity("70 % Wanda, FARMS") / perplexity("70 % Wanda")
    result.at_most("perplexity of Wanda with FARMS over that of Wanda at 70 %", ratio, 1.0)
    for metric in (DOMAIN, GENERAL):
        singles = ("50 % Taylor", "50 % Wanda, general data")
        best = min(perplexity(arm, metric) for arm in singles)
        ratio = perplexity("50 % D-Pruner", metric) / best
        result.at_most(f"{metric} of D-Pruner over the better single one at 50 %", ratio, 1.02)
    return result


def _one_seed(result, texts, num_characters, seed, steps):
    generator = np.random.default_rng([seed, 17])
    train, tests, calibration = [], {}, {}
    for metric, ids in texts.items():
        cut = int(0.9 * len(ids))
        train.append(windows(ids, generator.integers(0, cut - LENGTH - 1, steps * BATCH // 2)))
        calibration[metric] = windows(ids, generator.integers(0, cut - LENGTH - 1, 128))
        tests[metric] = windows(ids, generator.integers(cut, len(ids) - LENGTH - 1, 300))
    # Every batch holds as much of the one as of the other.
    x, y = (np.stack(parts, axis=1).reshape(-1, LENGTH) for parts in zip(*train, strict=True))
    start(seed)
    model = transformer(num_characters)
    model.compile(keras.optimizers.Adam(3e-3), cross_entropy())
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    weights = model.get_weights()

    def measure(arm):
        for metric, test in tests.items():
            result.append(arm, metric, np.exp(mean_loss(model, *test)))

    measure("dense")
    domain, general = calibration[DOMAIN], calibration[GENERAL]
    wanda, magnitude, taylor = Wanda(domain), Magnitude(), Taylor(domain, batch_size=8)
    dual = DualImportance(general, domain, batch_size=8)
    strict = DualImportance(general, domain, lam=10.0, batch_size=8)
    by_block, by_kernel = AlphaAllocation(blocks=BLOCKS), AlphaAllocation()
    for arm, sparsity, criterion, options in (
        ("50 % random", 0.5, RandomScores(seed), {}),
        ("50 % magnitude", 0.5, magnitude, {}),
        ("50 % Wanda", 0.5, wanda, {}),
        ("50 % Wanda, FARMS", 0.5, wanda, {"allocation": by_block}),
        ("50 % Taylor", 0.5, taylor, {}),
        ("50 % Wanda, general data", 0.5, Wanda(general), {}),
        ("50 % D-Pruner", 0.5, dual, {}),
        ("50 % D-Pruner, lam=10", 0.5, strict, {}),
        ("2:4 magnitude", 0.5, magnitude, {"pattern": NMPattern(2, 4)}),
        ("2:4 Wanda", 0.5, wanda, {"pattern": NMPattern(2, 4)}),
        ("70 % magnitude", 0.7, magnitude, {}),
        ("70 % magnitude, FARMS", 0.7, magnitude, {"allocation": by_block}),
        ("70 % Wanda", 0.7, wanda, {}),
        ("70 % Wanda, FARMS", 0.7, wanda, {"allocation": by_block}),
        ("70 % Wanda, FARMS by kernel", 0.7, wanda, {"allocation": by_kernel}),
    ):
        model.set_weights(weights)
        options = {"allocation": UniformAllocation(), **options}
        prune_weights(model, sparsity, criterion=criterion, layers=list(BLOCKS), **options)
        measure(arm)

"""A small language model on Shakespeare at 4, 3 and 2 bits, by every solver.

Claim: Rounding with feedback (GPTQ) loses much less than rounding to nearest at the same bits. What
was built on it (GPTAQ, ResComp) keeps that at 2 bits, levels by the loss of the inputs (BAQ) at 3
bits. Codebooks are better than even levels, powers no worse than a symmetric grid.

Paper: Frantar et al., GPTQ, arXiv 2210.17323; Li et al., GPTAQ, arXiv 2504.02692; ResComp, ICLR
2026; Heo et al., AdaDim, arXiv 2309.15531; BAQ, arXiv 2506.05664; Lin et al., AWQ, arXiv
2306.00978; Sung et al., RSQ, arXiv 2503.01820; Shao et al., GWQ, arXiv 2411.00850; Nagel et al.,
AdaRound, arXiv 2004.10568; Yvinec et al., NUPES, arXiv 2308.05600; JLCM, arXiv 2309.17361. Their
models have a billion weights and more, this one 150000.

Setting: Transformer over characters: 3 blocks of pre-normalized attention (4 heads) and a ReLU
layer of 256, width 64, windows of 64; trained for 500 steps of 32 windows of Tiny Shakespeare, Adam
0.003. The kernels in the blocks are quantized, one scale an output if nothing else is said, on 64
windows of the training text; perplexity per character on 300 windows of the last tenth. AdaRound:
300 steps, symmetric. NUPES: exponents from a search with nearest codes, or learned with the codes
for 1000 steps. RSQ: rotation in the layer, tokens weighted by attention, GPTQ. GWQ: 1 % of
the weights in 16 bits, the rest rounded. `bits a weight` counts all that is stored for the kernels,
`seconds` the whole run, with compilation where something is compiled. Loss: logarithm of the
perplexity minus that of the float model.

Criterion: At 3 and at 2 bits, the loss of GPTQ is at most 0.7 of that of rounding, those of GPTAQ
and ResComp at most 1.15 of that of GPTQ, that of k-means at most that of rounding. At 3 bits, the
loss of BAQ is at most that of GPTQ plus 0.003, that of NUPES, in both forms, at most that of
symmetric rounding plus 0.002.
"""

from __future__ import annotations

from evidence._language_model import compare
from evidence.result import Result

SEEDS = 1


def run(data, seeds, quick) -> Result:
    return compare(data.shakespeare, seeds, quick)

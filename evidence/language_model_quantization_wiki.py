"""A small language model on WikiText-2 at 4, 3 and 2 bits, by every solver.

Claim: As for Shakespeare: rounding with feedback (GPTQ) loses much less than rounding to nearest,
and what was built on it keeps that at few bits.

Paper: As for Shakespeare (`language_model_quantization`).

Setting: As for Shakespeare, but trained, solved and measured on WikiText-2.

Criterion: As for Shakespeare: at 3 and at 2 bits, the loss of GPTQ is at most 0.7 of that of
rounding, those of GPTAQ and ResComp at most 1.15 of that of GPTQ, that of k-means at most that of
rounding. At 3 bits, the loss of BAQ is at most that of GPTQ plus 0.003, that of NUPES, in both
forms, at most that of symmetric rounding plus 0.002.
"""

from __future__ import annotations

from evidence._language_model import compare
from evidence.result import Result

SEEDS = 1


def run(data, seeds, quick) -> Result:
    return compare(data.wikitext, seeds, quick)

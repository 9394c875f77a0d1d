"""A greedy soup of ten models holds no more than three of them in memory.

Claim: Models to average are read from their files weight by weight, so that the memory for a soup
does not grow with the number of models.

Paper: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time", ICML 2022, arXiv 2203.05482; the number is ours.

Setting: Eight dense layers of 1770 units (25 million weights, 100 MB), ten files of such weights, a
greedy soup that takes all ten in, scored by `evaluate` on 64 samples; one process for each
backend. Sets: the largest memory of the process from the moment when the model has been built and
evaluated once, as a multiple of its weights, the model itself counted as one; freed blocks go back
to the system at once (`MALLOC_MMAP_THRESHOLD_=262144`). Beside it the same with ten snapshots in
memory.

Criterion: On every backend at most 3 sets from files; all ten models are in the soup, and the model
is left bit for bit as it was.
"""

from __future__ import annotations

import tempfile

from benchmarks import soups
from evidence._processes import installed_backends
from evidence.result import Result

SEEDS = 1
LIMIT = 3.0
SETS = "weight sets in memory"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    with tempfile.TemporaryDirectory() as directory:
        soups.write_files(directory)
        for backend in installed_backends(result):
            ways = (soups.FILES,) if quick else (soups.FILES, soups.SNAPSHOTS)
            for way in ways:
                found = soups.measure_in_process(backend, directory, way)
                result.add(f"{backend}, {way}", SETS, [found["sets"]])
                if way == soups.FILES:
                    result.at_most(f"{backend}, {SETS}", found["sets"], LIMIT)
                    result.at_least(f"{backend}, models in the soup", found["models"], soups.MODELS)
                    result.at_least(f"{backend}, model restored", float(found["restored"]), 1.0)
    return result

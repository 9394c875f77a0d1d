import numpy as np

from keras_compress.pruning import PruningReport


def test_table_names_touched_and_skipped():
    mask = np.array([True, False, False, True])
    report = PruningReport(
        {"a/kernel": 4, "b/kernel": 10}, {"c": "not trainable"}, {"a/kernel": mask}
    )
    assert str(report).splitlines() == [
        "a/kernel  4 weights, 50.00% pruned",
        "b/kernel  10 weights",
        "c         skipped: not trainable",
    ]

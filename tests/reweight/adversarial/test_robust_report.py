"""Accuracies of classes by hand, and the table."""

import numpy as np
import pytest

import keras_reweight as kr

LABELS = np.array([0, 0, 1, 1, 2, 2, 4, 4])
CORRECT = {
    "clean": np.array([1, 1, 1, 1, 1, 0, 1, 1], "bool"),
    "pgd": np.array([1, 0, 0, 0, 1, 0, 1, 0], "bool"),
    "all attacks": np.array([1, 0, 0, 0, 0, 0, 1, 0], "bool"),
}


def report(**options):
    return kr.adversarial.RobustReport(LABELS, CORRECT, **options)


def test_accuracies_of_classes_and_of_the_worst():
    made = report()
    assert made.accuracy("clean") == 7 / 8 and made.accuracy() == 2 / 8
    assert made.class_accuracy("pgd") == {0: 0.5, 1: 0.0, 2: 0.5, 4: 0.5}
    assert made.worst_class("clean") == (2, 0.5)
    # 30 % of four classes are two of them.
    assert made.worst_classes("pgd") == 0.25
    assert made.worst_classes("pgd", share=0.1) == 0.0
    with pytest.raises(KeyError):
        made.accuracy("fgsm")


def test_thirty_percent_of_ten_classes_are_three():
    labels = np.arange(10)
    made = kr.adversarial.RobustReport(labels, {"clean": labels > 2})
    assert made.worst_classes("clean") == 0.0 and made.worst_classes("clean", share=0.4) == 0.25


def test_the_table_has_a_line_for_each_attack_and_the_warnings():
    lines = str(report(warnings=("gradients vanish.",))).splitlines()
    assert [line.split("  ")[0].strip() for line in lines[1:4]] == list(CORRECT)
    assert "class 4" in lines[0] and "25.0%" in lines[3] and "1: 0.0%" in lines[2]
    assert lines[-1] == "Warning: gradients vanish."
    assert len({len(line) for line in lines[:4]}) == 1

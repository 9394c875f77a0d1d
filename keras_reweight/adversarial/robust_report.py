"""What is left of accuracy under attacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

CLEAN, ALL = "clean", "all attacks"
#: More classes than these would not fit into a line of the table.
_MOST_COLUMNS = 12


@dataclass(frozen=True, eq=False)
class RobustReport:
    """Accuracy without an attack, under each, and under all, for each class and the worst ones.

    Made by `evaluate_robust`. `print(report)` shows a table. A sample is right under an attack if
    it is right with and without it, and right under all attacks if no attack succeeds. Classes
    without samples are left out.

    Args:
        labels: Integer array of shape `(num_samples,)`, the classes of the samples.
        correct: Dict from a name, `"clean"`, those of the attacks, `"all attacks"`, to a boolean
            array of shape `(num_samples,)`.
        warnings: Tuple of strings: signs that the attacks were too weak. Defaults to none.

    Returns:
        A record with the arguments as attributes, and `accuracy`, `class_accuracy`, `worst_class`
        and `worst_classes` of one of the names.

    Raises:
        KeyError: If a name is unknown.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    right = {"clean": np.array([True, True]), "pgd": np.array([True, False])}
    report = kr.adversarial.RobustReport(np.array([0, 1]), right)
    assert report.accuracy("pgd") == 0.5 and report.worst_class("pgd") == (1, 0.0)
    ```

    Reference:
        The mean over the worst 30 % of the classes: Sow et al., "Doubly Robust Instance-Reweighted
        Adversarial Training", ICLR 2024, arXiv 2308.00311, section 5.
    """

    labels: np.ndarray
    correct: dict[str, np.ndarray]
    warnings: tuple[str, ...] = field(default=())

    def accuracy(self, name: str = ALL) -> float:
        """Share of the samples that are right."""
        return float(np.mean(self.correct[name]))

    def class_accuracy(self, name: str = ALL) -> dict[int, float]:
        """Share of the samples of each class that are right."""
        return {
            int(label): float(np.mean(self.correct[name][self.labels == label]))
            for label in np.unique(self.labels)
        }

    def worst_class(self, name: str = ALL) -> tuple[int, float]:
        """The class of the lowest accuracy, the first of several, and that accuracy."""
        found = self.class_accuracy(name)
        label = min(found, key=lambda key: found[key])
        return label, found[label]

    def worst_classes(self, name: str = ALL, share: float = 0.3) -> float:
        """Mean accuracy of the share of the classes with the lowest one, of at least one class."""
        found = sorted(self.class_accuracy(name).values())
        # Rounded first: 0.3 times 10 is a little more than 3.
        count = max(1, math.ceil(round(share * len(found), 9)))
        return float(np.mean(found[:count]))

    def __str__(self) -> str:
        labels = np.unique(self.labels)
        shown = [int(label) for label in labels] if len(labels) <= _MOST_COLUMNS else []
        width = max(len("attack"), *(len(name) for name in self.correct))
        head = f"{'attack':<{width}}  accuracy  worst class  worst 30 %"
        lines = [head + "".join(f"  {f'class {label}':>8}" for label in shown)]
        for name in self.correct:
            label, lowest = self.worst_class(name)
            classes = self.class_accuracy(name)
            lines.append(
                f"{name:<{width}}  {self.accuracy(name):>8.1%}  {f'{label}: {lowest:.1%}':>11}  "
                f"{self.worst_classes(name):>10.1%}"
                + "".join(f"  {classes[label]:>8.1%}" for label in shown)
            )
        return "\n".join([*lines, *(f"Warning: {text}" for text in self.warnings)])

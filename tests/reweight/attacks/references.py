"""More attacks on the linear softmax model of `linear`, in NumPy, one sample at a time."""

from __future__ import annotations

import numpy as np

from tests.reweight.attacks import linear

LABELLED = (linear.X, linear.Y)


def losses(x, y, loss) -> np.ndarray:
    scores = linear.logits(x)
    if loss == "margin":
        return linear.reference_margins(y, scores)
    return -np.log(linear.softmax(scores)[np.arange(len(y)), y])


def reference_dlr(y_true, y_pred) -> np.ndarray:
    found = []
    for label, row in zip(np.asarray(y_true, int), np.asarray(y_pred, "float64"), strict=True):
        ordered = np.sort(row)
        best_other = np.delete(row, label).max()
        found.append(-(row[label] - best_other) / (ordered[-1] - ordered[-3]))
    return np.array(found)


def reference_friendly(x, y, ball, step_size, steps, tau) -> np.ndarray:
    found = []
    for sample, label in zip(np.asarray(x, "float64"), y, strict=True):
        moved, left = sample[None].copy(), tau
        for _ in range(steps):
            if linear.logits(moved).argmax() != label:
                if left == 0:
                    break
                left -= 1
            way = np.sign(linear.gradient(moved, [label]))
            ball_of = (ball.epsilon, ball.norm, ball.clip)
            moved = linear.reference_project(moved + step_size * way, sample[None], *ball_of)
        found.append(moved[0])
    return np.array(found)


def reference_apgd(x, y, ball, steps, loss, rho) -> np.ndarray:
    """Algorithm 1 of Croce and Hein, from the sample itself; the last point that is wrong."""
    return np.array(
        [
            _apgd(sample[None], np.array([label]), ball, steps, loss, rho)[0]
            for sample, label in zip(np.asarray(x, "float64"), np.asarray(y, int), strict=True)
        ]
    )


def _apgd(x, y, ball, steps, loss, rho):
    def way(at):
        slope = linear.gradient(at, y, loss)
        return np.sign(slope) if ball.norm == "linf" else slope / np.linalg.norm(slope)

    def project(at):
        return linear.reference_project(at, x, ball.epsilon, ball.norm, ball.clip)

    size = 2.0 * ball.epsilon
    points, values = [x], [losses(x, y, loss)[0]]
    best, best_value = x, values[0]
    wrong = x if linear.logits(x).argmax() != y[0] else None
    interval, last_check = max(int(0.22 * steps), 1), 0
    best_at_check, halved = best_value, True
    current, previous = x, x
    for step in range(1, steps + 1):
        ahead = project(current + size * way(current))
        inertia = 1.0 if step == 1 else 0.75
        moved = project(
            current + inertia * (ahead - current) + (1 - inertia) * (current - previous)
        )
        previous, current = current, moved
        points.append(moved)
        values.append(losses(moved, y, loss)[0])
        if values[-1] > best_value:
            best, best_value = moved, values[-1]
        if linear.logits(moved).argmax() != y[0]:
            wrong = moved
        if step - last_check == interval:
            rises = sum(values[j] > values[j - 1] for j in range(last_check + 1, step + 1))
            halves = rises <= rho * interval or (not halved and best_at_check >= best_value)
            if halves:
                size, current = size / 2.0, best
            best_at_check, halved, last_check = best_value, halves, step
            interval = max(interval - max(int(0.03 * steps), 1), int(0.06 * steps), 1)
    return best if wrong is None else wrong

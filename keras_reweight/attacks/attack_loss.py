"""What attacks raise."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.configured import Configured
from keras_reweight.core.labels import labels_like
from keras_reweight.core.validation import check_boolean, check_choice

KINDS = ("crossentropy", "margin", "dlr", "kl", "margin_shift")
#: Those that compare with the predictions at the clean input.
_COMPARING = ("kl", "margin_shift")

#: Stands for minus infinity where a class is left out of a maximum.
_LOWEST = -1e30
_SMALLEST_PROBABILITY = 1e-12
#: Keeps equal scores from dividing by zero.
_SMALLEST_SPREAD = 1e-12
#: Gives a norm a slope where nothing has moved.
_SMALLEST_SQUARE = 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class AttackLoss(Configured):
    """One number a sample that an attack raises.

    Attacks take one as `loss`; a plain name stands for that kind with logits, untargeted. With the
    scores `z` and the label `y`:

    - `"crossentropy"`: `-log softmax(z)_y`;
    - `"margin"`: `max_{c != y} z_c - z_y`, positive where the sample is misclassified; it keeps its
      gradient where the softmax is saturated;
    - `"dlr"`: that margin divided by the distance of the highest score from the third, which no
      scaling of the logits changes; needs three classes;
    - `"kl"`: `KL(p(x) || p(x_adv))` from the predictions at the clean input; reads no label;
    - `"margin_shift"`: `||m(x_adv) - m(x)||_2` of the margins `m_c = z_y - z_c` to the classes, for
      `kr.adversarial.SmoothCompSum`. Its slope at the clean input is zero: start elsewhere.

    For regression write a function `(y_true, y_pred) -> (batch,)`, which attacks take as well.

    Args:
        kind: `"crossentropy"`, `"margin"`, `"dlr"`, `"kl"` or `"margin_shift"`. Defaults to
            `"crossentropy"`.
        from_logits: Boolean, whether predictions are logits; otherwise probabilities. Defaults to
            `True`.
        targeted: Boolean, whether labels are where the model is led to, so that the loss is
            lowered instead. Defaults to `False`.

    Returns:
        Called as `loss(y_true, y_pred, y_clean)` with labels and scores of shape
        `(batch, classes)`: float32 tensor of shape `(batch,)` to be raised.

    Raises:
        TypeError: If a switch is not a boolean.
        ValueError: If `kind` is unknown, or `"kl"`, `"margin_shift"` or `"dlr"` is to be targeted;
            in the call: if `"dlr"` gets fewer than three classes.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    loss = kr.attacks.AttackLoss("margin")
    values = loss(np.array([0, 1]), np.array([[3.0, 1.0], [3.0, 1.0]], "float32"))
    np.testing.assert_allclose(values, [-2.0, 2.0])
    ```

    Reference:
        Madry et al., arXiv 1706.06083; Carlini and Wagner, arXiv 1608.04644 (f_6, without its
        limit); Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy",
        arXiv 1901.08573 (KL); Croce and Hein, arXiv 2003.01690, equation 6 (DLR); Mao et al.,
        arXiv 2304.07288, section 5 (shift of the margins).
    """

    def __init__(
        self, kind: str = "crossentropy", *, from_logits: bool = True, targeted: bool = False
    ):
        check_choice("kind", kind, KINDS)
        check_boolean("from_logits", from_logits)
        check_boolean("targeted", targeted)
        if targeted and kind in _COMPARING:
            raise ValueError(
                f"`targeted`=True leads to a label, but kind {kind!r} leads away from predictions."
            )
        if targeted and kind == "dlr":
            raise ValueError(
                "`targeted`=True with kind 'dlr' would need the right label beside the target; use "
                "'margin' or 'crossentropy'."
            )
        self.kind = kind
        self.from_logits = from_logits
        self.targeted = targeted

    def __call__(self, y_true: Any, y_pred: Any, y_clean: Any = None) -> Any:
        scores = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        if self.kind in ("margin", "dlr"):
            scores = scores if self.from_logits else log_probabilities(scores, False)
            values = score_margins(y_true, scores)
            if self.kind == "dlr":
                values = values / (_spread(scores) + _SMALLEST_SPREAD)
        elif self.kind == "margin_shift":
            logs, clean = (log_probabilities(z, self.from_logits) for z in (scores, y_clean))
            values = margin_shifts(y_true, logs, ops.stop_gradient(clean))
        else:
            logs = log_probabilities(scores, self.from_logits)
            if self.kind == "crossentropy":
                values = -ops.sum(labels_like(y_true, logs) * logs, axis=-1)
            else:
                clean = ops.stop_gradient(log_probabilities(y_clean, self.from_logits))
                values = ops.sum(ops.exp(clean) * (clean - logs), axis=-1)
        while len(values.shape) > 1:
            # Of the positions of a sequence or image.
            values = ops.mean(values, axis=-1)
        return -values if self.targeted else values

    @property
    def reads_clean(self) -> bool:
        """Whether a call needs `y_clean`."""
        return self.kind in _COMPARING

    def get_config(self) -> dict:
        return {
            "kind": self.kind,
            "from_logits": self.from_logits,
            "targeted": self.targeted,
        }


def as_attack_loss(loss: Any) -> Any:
    """A function `(y_true, y_pred, y_clean) -> (batch,)` for an argument `loss`."""
    if isinstance(loss, AttackLoss):
        return loss
    if isinstance(loss, str) and loss in KINDS:
        return AttackLoss(loss)
    if callable(loss):
        return lambda y_true, y_pred, y_clean: loss(y_true, y_pred)
    raise ValueError(
        f"`loss` must be an AttackLoss, a function or one of {list(KINDS)}, got {loss!r}."
    )


def log_probabilities(scores: Any, from_logits: bool) -> Any:
    """Log-probabilities of `(..., classes)`, finite also for probabilities of zero."""
    scores = ops.cast(scores, "float32")
    if from_logits:
        return ops.log_softmax(scores, axis=-1)
    return ops.log(ops.clip(scores, _SMALLEST_PROBABILITY, 1.0))


def score_margins(y_true: Any, scores: Any) -> Any:
    """The best score of another class minus that of the label."""
    label = labels_like(y_true, scores)
    own = ops.sum(label * scores, axis=-1)
    others = ops.where(label > 0.5, ops.full_like(scores, _LOWEST), scores)
    return ops.max(others, axis=-1) - own


def margin_shifts(y_true: Any, scores: Any, clean: Any) -> Any:
    """Euclidean length of the change of the margins of the label to all classes."""
    moved = scores - clean
    own = ops.sum(labels_like(y_true, moved) * moved, axis=-1, keepdims=True)
    return ops.sqrt(ops.sum(ops.square(own - moved), axis=-1) + _SMALLEST_SQUARE)


def _spread(scores):
    """The highest score minus the third."""
    if scores.shape[-1] < 3:
        raise ValueError(
            f"AttackLoss `kind`='dlr' needs scores of three classes, got {scores.shape[-1]}. Use "
            "'margin'."
        )
    highest = ops.top_k(scores, 3)[0]
    return highest[..., 0] - highest[..., 2]


def is_correct(y_true: Any, scores: Any) -> Any:
    """Whether the class of the highest score, the first of several, is the label."""
    wanted = ops.argmax(labels_like(y_true, ops.cast(scores, "float32")), axis=-1)
    return ops.argmax(scores, axis=-1) == wanted

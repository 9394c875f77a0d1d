"""Log-likelihood of sequences of tokens."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.token_log_prob import sequence_sums, token_log_prob


def sequence_log_prob(logits: Any, tokens: Any, mask: Any = None):
    """Sum of the log-probabilities of the tokens of each sequence.

    Use it for preference losses (`DPOLoss`, `RPOLoss`), for a policy and its reference alike, or
    divided by the number of tokens as a score. `tokens[:, t]` must be what `logits[:, t]` predicts:
    shift them yourself. Prompt and padding are left out by the mask or by ids outside the classes,
    such as -100. Half precision is summed in float32.

    Args:
        logits: Float tensor of shape `(batch, time, classes)`, unnormalized scores.
        tokens: Integer tensor of shape `(batch, time)`; ids outside `[0, classes)` do not count.
        mask: Boolean tensor of shape `(batch, time)`, which tokens count. Defaults to `None`: all.

    Returns:
        Float tensor of shape `(batch,)`; zero for a sequence without tokens.

    Raises:
        ValueError: If the shapes of `logits` and `tokens` do not fit, or `mask` has another shape
            than `tokens`.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    logits = np.zeros((2, 3, 4), "float32")
    log_prob = kr.functional.sequence_log_prob(logits, np.array([[0, 1, 2], [3, -100, -100]]))
    ```

    Reference:
        Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a Reward
        Model", NeurIPS 2023, arXiv 2305.18290, for the quantity its losses are made of.

    Cost:
        One log-softmax; no one-hot array.
    """
    logits, tokens = ops.convert_to_tensor(logits), ops.convert_to_tensor(tokens)
    if len(logits.shape) != 3:
        raise ValueError(
            f"`logits` must have shape (batch, time, classes), got shape {tuple(logits.shape)}."
        )
    if len(tokens.shape) != 2:
        raise ValueError(f"`tokens` must have shape (batch, time), got shape {tokens.shape}.")
    if mask is not None:
        mask = ops.convert_to_tensor(mask)
        if len(mask.shape) != 2:
            raise ValueError(
                f"`mask` must have the shape of `tokens`, {tuple(tokens.shape)}, got "
                f"{tuple(mask.shape)}."
            )
    if logits.dtype != "float64":
        logits = ops.cast(logits, "float32")
    log_probs, valid = token_log_prob(logits, tokens)
    return sequence_sums(log_probs, valid, mask)[0]

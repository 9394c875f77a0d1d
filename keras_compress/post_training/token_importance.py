"""Which tokens of the calibration data the layers should get right."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, predictions_of, without_gradients
from keras_reweight.core.layer_calls import recorded_calls
from keras_reweight.core.recorded_attention import attention_layers, recorded_attention
from keras_reweight.core.selection import all_layers, select_layers
from keras_reweight.core.validation import (
    check_built,
    check_choice,
    check_integer,
    check_number,
)

STRATEGIES = ("attention", "norm", "difference", "similarity", "frequency", "first")


def token_importance(
    model: keras.Model,
    data: Any,
    *,
    strategy: str = "attention",
    minimum: float = 0.005,
    maximum: float = 1.0,
    layer: Any = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Weights of the tokens of calibration sequences, by how much they matter (RSQ).

    For `token_weights=` of `post_training.quantize`: a token counts `w_t` times in the products of
    inputs that solvers such as `GPTQ` work with. For transformers; on small models the gain is
    small. Scores of the tokens of a sequence:

    - `"attention"`: the attention that a token gets, summed over heads and queries, in all
      attention layers (of Keras' own classes);
    - `"norm"`: the length of its hidden state, `"similarity"`: the sum of its distances to the
      other tokens, both of what goes into the attention layers, or into `layer`;
    - `"difference"`: how little `layer`, a block, changes it, `-|out - in|`;
    - `"frequency"`: how rare its id is in the data;
    - `"first"`: whether it belongs to the first eighth of the sequence.

    Scores are moved linearly to `[minimum, maximum]` in each sequence, then divided by their mean,
    so that equal scores change nothing.

    Args:
        model: A built `keras.Model`.
        data: What `post_training.quantize` gets: array of shape `(num_samples, tokens, ...)` and
            any dtype, or batches, all of one length.
        strategy: One of the names above. Defaults to `"attention"`.
        minimum: Float in `(0, maximum]`, weight of the least important token of a sequence.
            Defaults to `0.005`.
        maximum: Float > 0, weight of the most important one. Defaults to `1.0`.
        layer: Name, path or layer whose inputs (and outputs) count for `"norm"`, `"similarity"` and
            `"difference"`. Defaults to `None`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `32`.

    Returns:
        Float64 array of shape `(num_samples, tokens)` with mean one in each sequence.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range, the model has no such layer, or `data` are
            no sequences of one length.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(9, 2)])
    ids = np.array([[3, 3, 3, 8]])
    rare = kc.post_training.token_importance(model, ids, strategy="frequency", minimum=0.5)
    assert np.allclose(rare, [[0.8, 0.8, 0.8, 1.6]])
    ```

    Reference:
        Sung et al., "RSQ: Learning from Important Tokens Leads to Better Quantized LLMs", arXiv
        2503.01820, section 4; official code github.com/ylsung/rsq.

    Deviations:
        The official code takes attention and hidden states of the block that is quantized, on the
        inputs that quantized blocks give; here the float model gives one weight a token for all
        layers. `"norm"`, `"similarity"` and `"difference"` follow its descriptions.

    Cost:
        A forward pass; `"attention"` holds the attention maps of one batch.
    """
    check_built(model, "token_importance")
    check_choice("strategy", strategy, STRATEGIES)
    check_number("maximum", maximum, exclusive_minimum=0.0)
    check_number("minimum", minimum, exclusive_minimum=0.0, maximum=maximum)
    check_integer("batch_size", batch_size, minimum=1)
    if strategy == "difference" and layer is None:
        raise ValueError("`layer`=None: the strategy 'difference' needs one, a block.")
    chosen = None if layer is None else _one_of(model, layer)
    parts = [_scores(model, x, strategy, chosen) for x, _, _ in iterate_batches(data, batch_size)]
    if not parts or len({scores.shape[1:] for scores in parts}) > 1:
        raise ValueError(f"`data` must hold sequences of one length, got {len(parts)} batches.")
    scores = np.concatenate(parts)
    if strategy == "frequency":
        scores = rarity(scores)
    weights = minimum + per_sequence(scores) * (maximum - minimum)
    return weights / weights.mean(axis=1, keepdims=True)


def _one_of(model, layer):
    """The layer that is meant; blocks count as layers, too."""
    found = select_layers(model, layer, candidates=all_layers(model), argument="layer").touched
    if len(found) != 1:
        raise ValueError(
            f"`layer`={layer!r} must name one layer, got {[each.path for each in found]}."
        )
    return found[0]


def _scores(model, x, strategy, layer):
    """Scores `(batch, tokens)`; ids for `"frequency"`, which needs those of all batches."""
    if strategy in ("frequency", "first"):
        ids = np.asarray(ops.convert_to_numpy(keras.tree.flatten(x)[0]))
        if ids.ndim < 2 or (strategy == "frequency" and ids.ndim > 2):
            raise ValueError(f"`data`: {strategy!r} needs sequences of ids, got shape {ids.shape}.")
        return ids if strategy == "frequency" else first_tokens(*ids.shape[:2])
    if layer is not None and strategy != "attention":
        with without_gradients(), recorded_calls(layer) as calls:
            predictions_of(model, as_model_inputs(model, x))
        found = [_hidden_scores(strategy, *call) for call in calls]
        if not found:
            raise ValueError(f"`layer`: {layer.path!r} is not called by the model.")
    else:
        layers = attention_layers(model)
        if not layers:
            raise ValueError(
                f"`strategy`={strategy!r}: model {model.name!r} has no attention layer of Keras. "
                "Choose another strategy, or a `layer`."
            )
        with without_gradients(), recorded_attention(layers) as calls:
            predictions_of(model, as_model_inputs(model, x))
        found = [
            attention_received(_host(call.scores))
            if strategy == "attention"
            else _hidden_scores(strategy, call.query, call.output)
            for call in calls
        ]
    if len({scores.shape for scores in found}) > 1:
        raise ValueError(
            f"`strategy`={strategy!r}: layers see sequences of different lengths, "
            f"{[scores.shape for scores in found]}. Choose a `layer`."
        )
    return np.mean([per_sequence(scores) for scores in found], axis=0)


def _hidden_scores(strategy, inputs, outputs):
    inputs = _host(inputs)
    if inputs.ndim != 3:
        raise ValueError(
            f"`layer` must get (batch, tokens, features) for {strategy!r}, got {inputs.shape}."
        )
    if strategy == "norm":
        return np.linalg.norm(inputs, axis=-1)
    if strategy == "similarity":
        return distance_sums(inputs)
    return -np.linalg.norm(_host(outputs) - inputs, axis=-1)


def attention_received(scores: np.ndarray) -> np.ndarray:
    """`(batch, keys)` of probabilities `(batch, heads, queries, keys)`."""
    return scores.sum(axis=(1, 2))


def distance_sums(hidden: np.ndarray) -> np.ndarray:
    """Sum of distances to all tokens of the sequence, `(batch, tokens)`."""
    squares = np.square(hidden).sum(axis=-1)
    products = hidden @ np.swapaxes(hidden, 1, 2)
    distances = squares[:, :, None] + squares[:, None, :] - 2.0 * products
    return np.sqrt(np.maximum(distances, 0.0)).sum(axis=-1)


def rarity(ids: np.ndarray) -> np.ndarray:
    """Minus the count of every id among all."""
    _, places, counts = np.unique(ids, return_inverse=True, return_counts=True)
    return -counts[places].reshape(ids.shape).astype("float64")


def first_tokens(batch: int, tokens: int) -> np.ndarray:
    """1 in the first eighth of every sequence, 0 after it."""
    return np.tile((np.arange(tokens) < max(tokens // 8, 1)).astype("float64"), (batch, 1))


def per_sequence(scores):
    """From 0 to 1 in each sequence; all 1 where they are equal."""
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    spread = np.where(high > low, high - low, 1.0)
    return np.where(high > low, (scores - low) / spread, 1.0)


def _host(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32")).astype("float64")

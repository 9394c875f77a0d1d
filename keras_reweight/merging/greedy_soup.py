"""An average that only takes in models that make it better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_built
from keras_reweight.merging._sources import opened
from keras_reweight.merging._trial import Trial, check_statistics_data
from keras_reweight.merging.soup import Soup
from keras_reweight.signatures.weight_selection import select_weights


def greedy_soup(
    model: keras.Model,
    ingredients: Sequence[Any],
    *,
    score: Callable[[keras.Model], float],
    layers: Any = None,
    batch_norm_data: Any = None,
    name: str = "greedy_soup",
) -> Soup:
    """Average fine-tuned models, one more at a time, as long as held-out data say it helps.

    Every model is scored alone; the best one is the first soup. Each other one, from good to bad,
    is averaged in, and stays if the soup then scores strictly higher. So the soup is never worse
    than the best single model on the held-out data, however bad the others are. For the models of
    a hyperparameter search that shared a pretrained start, or the checkpoints of one training.
    Not without a held-out set: on training data it overfits.

    With batch normalization, pass a few hundred training inputs as `batch_norm_data`: the moving
    statistics are then estimated anew for every soup that is tasted. Else they are averaged.

    Args:
        model: A built `keras.Model`, compiled if `score` evaluates it. The soups are tasted in it,
            and it is left bit for bit as it was.
        ingredients: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files (their tensors named by the paths of the weights).
        score: Function of a model that gives a number, larger for better, on held-out data. NaN
            counts as worst.
        layers: Layers to average, by name, `re.Pattern`, predicate or object; `None` for all.
            Others stay those of `model`. Defaults to `None`.
        batch_norm_data: Inputs, float array of shape `(samples, ...)`, dict of those, or a data set
            that can be read more than once. Defaults to `None`.
        name: String, name of the patch. Defaults to `"greedy_soup"`.

    Returns:
        A `Soup`, the `Patch` from the weights of `model` to the soup: exactly the weights that
        scored `soup.score`. `soup.ingredients` are the positions of those that were kept, best
        first; `soup.scores` what each model scores alone.

    Raises:
        TypeError: If `model` is not a model, `ingredients` holds something else, or `score` is no
            function or returns no number.
        ValueError: If `model` is not built, `ingredients` is empty or of another architecture, a
            file is damaged, all scores are NaN, `batch_norm_data` can be read only once or there is
            no batch normalization, or the selection is empty.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    kernel, ingredients = model.layers[0].kernel, []
    for number in (1.0, 3.0, 5.0):
        kernel.assign([[number]])
        ingredients.append(kr.WeightSnapshot(model))

    def value():
        return float(keras.ops.convert_to_numpy(kernel)[0, 0])

    soup = kr.merging.greedy_soup(model, ingredients, score=lambda model: -((value() - 2.2) ** 2))
    assert soup.ingredients == (1, 0)
    with soup.patched(model):
        assert value() == 2.0
    ```

    Reference:
        Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
        accuracy without increasing inference time", ICML 2022, arXiv 2203.05482, recipe 1;
        mlfoundations/model-soups.

    Deviations:
        The recipe keeps a model that leaves the score as it is, the official code and we do not. Of
        equally good models the first given is tried first, in the official code the last.

    Cost:
        `2 n - 1` calls of `score` for `n` models. Besides the model, one copy of the selected
        weights is in memory, and the largest weight a few times, however many files there are;
        a soup reads its ingredients anew. (On Linux the C library may keep as much again of what
        was freed, unless the environment has `MALLOC_MMAP_THRESHOLD_=262144`.)
    """
    check_built(model, "greedy_soup")
    if not callable(score):
        raise TypeError(f"`score` must be a function of a model, got {score!r}.")
    check_statistics_data(model, batch_norm_data)
    selection = select_weights(model, layers, "statistics")
    trial = Trial(model, selection.indices, batch_norm_data)
    with opened(
        model, ingredients, selection.indices, argument="ingredients", base=trial.base
    ) as readers:

        def taste(members):
            trial.put_mean([readers[place] for place in members])
            return _number(score(model))

        with trial:
            scores = [taste([place]) for place in range(len(readers))]
            order = sorted(range(len(readers)), key=lambda place: -scores[place])
            kept, best = order[:1], scores[order[0]]
            if best == -np.inf:
                raise ValueError(f"`score` gives no finite number for any model: {scores}.")
            for place in order[1:]:
                value = taste([*kept, place])
                if value > best:
                    kept, best = [*kept, place], value
            if batch_norm_data is not None:
                trial.put_mean([readers[place] for place in kept])
        entries = dict(trial.entries_of_mean([readers[place] for place in kept]))
    soup = trial.soup(entries, name, "greedy_soup")
    soup.ingredients, soup.score, soup.scores = tuple(kept), best, tuple(scores)
    return soup


def _number(value):
    if isinstance(value, (str, bytes, dict, list, tuple)) or value is None:
        raise TypeError(
            f"`score` must return a number, got {value!r}. `model.evaluate` gives several: take "
            "one of them, and its negative if it is a loss."
        )
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`score` must return a number, got {value!r}.") from error
    return -np.inf if np.isnan(number) else number

"""Robust weight signatures."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_choice
from keras_reweight.signatures import codecs
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_digest import RunningDigest
from keras_reweight.signatures.weight_selection import BATCH_NORM, select_weights
from keras_reweight.signatures.weight_snapshot import (
    WeightSnapshot,
    architecture_of,
    weight_reader,
)


class WeightSignature(Patch):
    """The change of weights that makes a model robust to one corruption.

    Fine-tune one pretrained model on clean data and on corrupted data. With `v` the robust minus
    the pretrained and `a` the clean minus the pretrained weights of one tensor, flattened, the
    robust weight signature is the part of `v` orthogonal to `a`,

    `rws = v - a (a . v) / (a . a)`, and `rws = v` where `a` is zero.

    Added to the clean model, or to another one of the same architecture, it brings robustness to
    that corruption: `with signature.patched(model, alpha=0.8): ...`. Signatures are scaled, added,
    compressed and saved like every `Patch`. Make one with

    `WeightSignature.extract(pretrained=None, clean=..., robust=..., layers=None, project=None,
    batch_norm="affine", name="signature")`.

    Each of the three is a model or a `WeightSnapshot` of one. `layers` is `shallow(7)`, layer
    names, a `re.Pattern`, a predicate, layers or a list of these; `None` takes all, the classifier
    included. `project=True` gives kind `"rws"`. `project=False` gives kind `"difference"`, robust
    minus clean, which keeps more robustness and less of the clean accuracy; it needs no
    `pretrained` (and does not use one), and with a pretrained model as `clean` it is a task vector.
    `None` projects if `pretrained` is given. Of batch normalization, `batch_norm` takes nothing
    (`"skip"`), gamma and beta (`"affine"`) or the moving statistics too (`"statistics"`; those are
    never projected). What was left out and why is in `signature.skipped`.

    Args:
        architecture: As for `Patch`; use `extract` or `load`.
        entries: As for `Patch`.
        name: As for `Patch`.
        kind: `"rws"`, `"difference"` or `"composition"` (a sum of both).
        coefficient: As for `Patch`. Defaults to `1.0`.
        sources: As for `Patch`.

    Returns:
        A `Patch`; `delta(weight)` is a float64 array of the shape of the weight.

    Raises:
        ValueError: From `extract`, if `robust` or `clean` is missing, `project=True` without
            `pretrained`, models differ in architecture, a weight is NaN or infinite, or the
            selection is empty; from `load`, if the file is damaged or of another kind.
        TypeError: From `extract`, if an argument is no model or snapshot, or `layers` is of an
            unknown kind.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)).astype("float32"), rng.integers(0, 2, 32)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    pretrained = kr.WeightSnapshot(model)
    model.fit(x + rng.normal(size=x.shape), y, verbose=0)
    robust = kr.WeightSnapshot(model)
    pretrained.restore(model)
    model.fit(x, y, verbose=0)

    signature = kr.WeightSignature.extract(
        pretrained, clean=model, robust=robust, layers=kr.shallow(1), name="noise"
    )
    before = kr.weight_digest(model)
    with signature.compress("int8").patched(model, alpha=0.8):
        assert kr.weight_digest(model) != before
    assert kr.weight_digest(model) == before
    ```

    Reference:
        Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
        ICML 2023, arXiv 2302.12480; VITA-Group/Robust_Weight_Signatures.

    Deviations:
        The official code multiplies by the weight of a signature twice, before projecting and when
        adding, so it acts squared; here it acts once. It divides by zero where a tensor did not
        move in clean training. Its 8-bit grid has no zero; ours is symmetric. It replaces batch
        normalization entries by their mean over robust models; see `reestimate_batch_norm`.

    Cost:
        Eight bytes of host memory per selected weight; the models are read weight by weight.
    """

    _kinds = ("rws", "difference", "composition")
    # What `extract` left out and why, by layer path; not saved.
    skipped: dict[str, str] = {}

    @classmethod
    def extract(
        cls,
        pretrained: keras.Model | WeightSnapshot | None = None,
        clean: keras.Model | WeightSnapshot | None = None,
        robust: keras.Model | WeightSnapshot | None = None,
        *,
        layers: Any = None,
        project: bool | None = None,
        batch_norm: str = "affine",
        name: str = "signature",
    ) -> WeightSignature:
        """The signature of the move from `clean` to `robust`; see the class."""
        check_choice("batch_norm", batch_norm, BATCH_NORM)
        check_choice("project", project, (True, False, None))
        if project is None:
            project = pretrained is not None
        elif project and pretrained is None:
            raise ValueError(
                "`project=True` needs `pretrained`, the common start of `clean` and `robust`; got "
                "None. Pass `project=False` for the plain difference robust - clean."
            )
        sources = {"clean": clean, "pretrained": pretrained, "robust": robust}
        if pretrained is None:
            del sources["pretrained"]
        model = _check_sources(sources)
        selection = select_weights(model, layers, batch_norm)
        readers = {key: weight_reader(source) for key, source in sources.items()}
        digests = {key: RunningDigest() for key in sources}

        def deltas():
            for index in selection.indices:
                values = {}
                for key, read in readers.items():
                    array = read(index)
                    digests[key].add(index, array)
                    values[key] = array.astype(np.float64)
                if project and index not in selection.statistics:
                    start = values["pretrained"]
                    yield index, _orthogonal(values["robust"] - start, values["clean"] - start)
                else:
                    yield index, values["robust"] - values["clean"]

        architecture = Architecture.of(model)
        signature = cls(
            architecture,
            codecs.encode_all(architecture, deltas(), codec="float64"),
            name=name,
            kind="rws" if project else "difference",
            sources={key: total.hexdigest() for key, total in digests.items()},
        )
        signature.skipped = dict(selection.skipped)
        return signature


def _orthogonal(moved, along):
    """`moved` without its part along `along`."""
    squared = np.vdot(along, along)
    return moved - along * (np.vdot(along, moved) / squared) if squared > 0 else moved


def _check_sources(sources):
    """Check models and snapshots against each other; the model that selections are made on."""
    architectures = {
        argument: architecture_of(source, argument, "WeightSignature.extract")
        for argument, source in sources.items()
    }
    for argument, architecture in architectures.items():
        architectures["robust"].check(architecture, f"`{argument}`, compared with `robust`,")
    models = [source for source in sources.values() if isinstance(source, keras.Model)]
    if not models:
        raise ValueError(f"One of {sorted(sources)} must be a model, got snapshots only.")
    return sources["robust"] if isinstance(sources["robust"], keras.Model) else models[0]

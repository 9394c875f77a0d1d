"""Patches on a live model."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from typing import NamedTuple

import keras
import numpy as np

from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built
from keras_reweight.signatures.alpha import Alpha, plain_alpha, strengths
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.encoded import row_reader
from keras_reweight.signatures.live_weights import read_variable, variable_digest
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.shift import shifted

# Model -> the patcher that has patches on it, as a weak reference: a patcher holds its model.
_ACTIVE: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class _Active(NamedTuple):
    """A patch that is on, its strength as given, and for each weight."""

    patch: Patch
    alpha: Alpha
    strengths: dict[int, float]


class SignaturePatcher:
    """Put patches on a model, change their strength, and take them off bit for bit.

    The patcher keeps the original bytes of every weight it touches. Patched weights are always
    computed as `original + sum of alpha * delta` in float64, in the order of the names, and cast
    once, so they depend on the patches and strengths alone and not on the calls that led there;
    removing the last patch of a weight writes its original bytes back. Nothing else of the model
    is touched, and a call that fails changes nothing.

    - `apply(patch, alpha=1.0, name=None)` adds a patch, by default under its own name;
    - `set_alpha(name, alpha)`, `remove(name)`, `revert()` (all of them); `active` shows them;
    - `alpha` is a number, or a dict from layers to numbers: a layer name, a `re.Pattern`, a
      predicate, a layer, `shallow(2)` or a tuple of these; the key `None` is for all other layers
      of the patch, which else have 1.0;
    - training between these calls is found out: they raise `RuntimeError` until `commit()` (the
      present weights become the original), `rebase()` (go on with the patches on; `exact` is then
      `False`, as the new originals are computed) or `revert(discard=True)` (lose the training).

    Keep the patcher while patches are on: it alone holds the original bytes. A model takes patches
    from one patcher at a time. Inside `fit`, callbacks may call it at the end of a batch or epoch.

    Args:
        model: A built `keras.Model`.

    Returns:
        A patcher; its properties are `active`, a dict from name to alpha, and `exact`.

    Raises:
        TypeError: If `model` is not a model, a patch not a `Patch`, or an alpha not a number.
        ValueError: If `model` is not built or patched by another patcher; if a patch is of another
            architecture, a name taken or unknown, an alpha not finite or so large that a weight
            overflows, or for layers that the patch does not change.
        RuntimeError: If weights were changed, replaced or added while patches were on.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    patch = kr.Patch.from_deltas(model, [(model.layers[0].kernel, np.ones((2, 1)))], name="shift")
    before = kr.weight_digest(model)
    patcher = kr.SignaturePatcher(model)
    patcher.apply(patch, alpha=0.75)
    patcher.set_alpha("shift", 0.3)
    assert patcher.active == {"shift": 0.3}
    patcher.revert()
    assert kr.weight_digest(model) == before
    ```

    Reference:
        None; undoing a patch by subtracting it changes about a tenth of all float words.

    Cost:
        Host memory of the touched weights. Every call reads and hashes them, and computes and
        writes those whose patches changed, one after another.
    """

    def __init__(self, model: keras.Model):
        check_built(model, "SignaturePatcher")
        self.model = model
        self._active: dict[str, _Active] = {}
        self._variables: list[keras.Variable] = []
        self._base: dict[int, np.ndarray] = {}
        self._written: dict[int, str] = {}
        self._exact = True
        self._check_claim()

    @property
    def active(self) -> dict[str, Alpha]:
        """Name -> alpha of the patches that are on, by name."""
        return {name: plain_alpha(self._active[name].alpha) for name in sorted(self._active)}

    @property
    def exact(self) -> bool:
        """Whether taking the patches off restores bytes that the model once had."""
        return self._exact

    def apply(self, signature: Patch, alpha: Alpha = 1.0, name: str | None = None) -> None:
        """Add one patch."""
        if not isinstance(signature, Patch):
            raise TypeError(f"`signature` must be a Patch, got {signature!r}.")
        self.apply_all({signature.name if name is None else name: (signature, alpha)})

    def apply_all(self, patches: Mapping[str, tuple[Patch, Alpha]]) -> None:
        """Add several patches, given as name -> (patch, alpha), or none of them."""
        added = {}
        for name, (patch, alpha) in patches.items():
            if not isinstance(name, str):
                raise TypeError(f"`name` must be a string, got {name!r}.")
            if name in self._active:
                raise ValueError(
                    f"`name`={name!r} is already active: pass another `name`, or use `set_alpha`."
                )
            check_fits(self.model, patch, name)
            added[name] = self._with_alpha(patch, alpha)
        self._check_claim()
        self._change_to({**self._active, **added})

    def set_alpha(self, name: str, alpha: Alpha) -> None:
        """Change the strength of an active patch."""
        self._check_names([name])
        changed = self._with_alpha(self._active[name].patch, alpha)
        self._change_to({**self._active, name: changed})

    def remove(self, name: str) -> None:
        """Take one patch off."""
        self.remove_all([name])

    def remove_all(self, names: Collection[str]) -> None:
        """Take several patches off, or none of them."""
        self._check_names(names)
        self._change_to({key: value for key, value in self._active.items() if key not in names})

    def revert(self, *, discard: bool = False) -> None:
        """Take all patches off; with `discard` even if that loses later changes of the weights."""
        self._change_to({}, discard=discard)

    def commit(self) -> None:
        """Forget the originals: the weights stay as they are now, and no patch is on."""
        self._settle({}, {}, {})

    def rebase(self) -> None:
        """Make the present weights without the patches the new originals; the patches stay on."""
        self._check_variables()
        without = {
            name: on._replace(strengths={i: -value for i, value in on.strengths.items()})
            for name, on in self._active.items()
        }
        # Weights that overflow without their patches are found before any original is replaced.
        moved = {}
        for index in self._changed():
            current = read_variable(self._variables[index])
            moved[index] = self._shifted(index, current, without)
        for index, base in moved.items():
            self._base[index] = base
            self._written[index] = variable_digest(self._variables[index])
            self._exact = False

    def _with_alpha(self, patch, alpha):
        return _Active(patch, plain_alpha(alpha), strengths(self.model, patch, alpha))

    def _change_to(self, target, discard=False):
        """Weight by weight; if one fails, those that were written are put back."""
        self._check_variables()
        changed = [] if discard else [self._variables[index].path for index in self._changed()]
        if changed:
            raise RuntimeError(
                f"Weights of model {self.model.name!r} were changed while patched (by training?): "
                f"{changed}. Call `commit()` to keep them as they are, `rebase()` to keep the "
                "change and the patches, or `revert(discard=True)` to lose the change."
            )
        base, written = dict(self._base), dict(self._written)
        # The earlier bytes of what was written, or `None` where they can be computed anew.
        begun: dict[int, np.ndarray | None] = {}
        try:
            for index in self._touched(target):
                variable = self._variables[index]
                if index not in base:
                    base[index] = read_variable(variable)
                moved = self._shifted(index, base[index], target)
                begun[index] = None if self._exact and not discard else read_variable(variable)
                variable.assign(moved)
                if any(index in on.strengths for on in target.values()):
                    written[index] = variable_digest(variable)
        except BaseException:
            for index, earlier in reversed(begun.items()):
                if earlier is None:
                    earlier = self._shifted(index, base[index], self._active)
                self._variables[index].assign(earlier)
            raise
        self._settle(base, written, target)

    def _touched(self, target):
        """Positions of the weights whose patches or strengths change."""
        touched = set()
        for name in {*self._active, *target}:
            before, after = self._active.get(name), target.get(name)
            if before is None or after is None or before.patch is not after.patch:
                touched.update(*(on.strengths for on in (before, after) if on is not None))
            else:
                touched.update(
                    index
                    for index, strength in after.strengths.items()
                    if strength != before.strengths[index]
                )
        return sorted(touched)

    def _settle(self, base, written, target):
        patched = {index for on in target.values() for index in on.strengths}
        self._base = {index: base[index] for index in patched}
        self._written = {index: written[index] for index in patched}
        self._active = target
        if target:
            _ACTIVE[self.model] = weakref.ref(self)
        elif active_patcher(self.model) is None:
            _ACTIVE.pop(self.model, None)

    def _shifted(self, index, base, patches):
        terms = [
            (on.strengths[index], on.patch.coefficient, row_reader(on.patch.stored(index)))
            for _, on in sorted(patches.items())
            if on.strengths.get(index, 0.0) != 0.0
        ]
        return shifted(base, terms, self._variables[index].path)

    def _changed(self):
        """Touched weights that no longer are what was written last."""
        return [
            index
            for index, digest in self._written.items()
            if variable_digest(self._variables[index]) != digest
        ]

    def _check_variables(self):
        sync_model(self.model)
        present = list(self.model.weights)
        if not self._active:
            self._variables, self._exact = present, True
            return
        if [id(variable) for variable in present] != [id(known) for known in self._variables]:
            raise RuntimeError(
                f"Model {self.model.name!r} gained, lost or replaced weights while patched. Take "
                "patches off before changing layers; `commit()` keeps the weights as they are."
            )

    def _check_names(self, names):
        for name in names:
            if name not in self._active:
                raise ValueError(f"`name`={name!r} is not active; active are {list(self.active)}.")

    def _check_claim(self):
        other = active_patcher(self.model)
        if other is not None and other is not self:
            raise ValueError(
                f"`model` {self.model.name!r} is already patched by another SignaturePatcher, with "
                f"{other.active}. Use that one, or take its patches off first."
            )


def active_patcher(model: keras.Model) -> SignaturePatcher | None:
    """The patcher that has patches on `model`."""
    reference = _ACTIVE.get(model)
    patcher = None if reference is None else reference()
    return patcher if patcher is not None and patcher._active else None


def check_fits(model: keras.Model, patch: Patch, name: str) -> None:
    """Raise unless `patch` is a patch for the architecture of `model`."""
    if not isinstance(patch, Patch):
        raise TypeError(f"{name!r} must be a Patch, got {patch!r}.")
    what = f"Patch {name!r} (there), to be applied to model {model.name!r} (here),"
    Architecture.of(model).check(patch.architecture, what)

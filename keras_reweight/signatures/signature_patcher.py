"""Patches on a live model."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping

import keras
import numpy as np

from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_number
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import array_digest, assign_all, read_variable
from keras_reweight.signatures.patch import Patch

# Model -> the patcher that has patches on it, as a weak reference: a patcher holds its model.
_ACTIVE: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class SignaturePatcher:
    """Put patches on a model, change their strength, and take them off bit for bit.

    The patcher keeps the original bytes of every weight it touches. Patched weights are always
    computed as `original + sum of alpha * delta` in float64, in the order of the names, and cast
    once, so they depend on the patches and strengths alone and not on the calls that led there;
    removing the last patch of a weight writes its original bytes back. Nothing else of the model
    is touched, and a call that fails changes nothing.

    - `apply(patch, alpha=1.0, name=None)` adds a patch, by default under its own name;
    - `set_alpha(name, alpha)`, `remove(name)`, `revert()` (all of them); `active` shows them;
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
            overflows.
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
        Host memory of the touched weights; every call reads and hashes them, and writes those
        whose patches changed.
    """

    def __init__(self, model: keras.Model):
        check_built(model, "SignaturePatcher")
        self.model = model
        self._active: dict[str, tuple[Patch, float]] = {}
        self._variables: list[keras.Variable] = []
        self._base: dict[int, np.ndarray] = {}
        self._written: dict[int, str] = {}
        self._exact = True
        self._check_claim()

    @property
    def active(self) -> dict[str, float]:
        """Name -> alpha of the patches that are on, by name."""
        return {name: self._active[name][1] for name in sorted(self._active)}

    @property
    def exact(self) -> bool:
        """Whether taking the patches off restores bytes that the model once had."""
        return self._exact

    def apply(self, signature: Patch, alpha: float = 1.0, name: str | None = None) -> None:
        """Add one patch."""
        if not isinstance(signature, Patch):
            raise TypeError(f"`signature` must be a Patch, got {signature!r}.")
        self.apply_all({signature.name if name is None else name: (signature, alpha)})

    def apply_all(self, patches: Mapping[str, tuple[Patch, float]]) -> None:
        """Add several patches, given as name -> (patch, alpha), or none of them."""
        for name, (patch, alpha) in patches.items():
            if not isinstance(name, str):
                raise TypeError(f"`name` must be a string, got {name!r}.")
            check_number("alpha", alpha)
            if name in self._active:
                raise ValueError(
                    f"`name`={name!r} is already active: pass another `name`, or use `set_alpha`."
                )
            check_fits(self.model, patch, name)
        self._check_claim()
        added = {name: (patch, float(alpha)) for name, (patch, alpha) in patches.items()}
        self._change_to({**self._active, **added})

    def set_alpha(self, name: str, alpha: float) -> None:
        """Change the strength of an active patch."""
        self._check_names([name])
        check_number("alpha", alpha)
        self._change_to({**self._active, name: (self._active[name][0], float(alpha))})

    def remove(self, name: str) -> None:
        """Take one patch off."""
        self.remove_all([name])

    def remove_all(self, names: Collection[str]) -> None:
        """Take several patches off, or none of them."""
        self._check_names(names)
        self._change_to({key: value for key, value in self._active.items() if key not in names})

    def revert(self, *, discard: bool = False) -> None:
        """Take all patches off; with `discard` even if that loses later changes of the weights."""
        if discard:
            self._check_variables()
            self._write({}, dict(self._base), {})
        else:
            self._change_to({})

    def commit(self) -> None:
        """Forget the originals: the weights stay as they are now, and no patch is on."""
        self._settle({}, {}, {})

    def rebase(self) -> None:
        """Make the present weights without the patches the new originals; the patches stay on."""
        self._check_variables()
        for index in self._changed():
            current = read_variable(self._variables[index])
            self._base[index] = self._shifted(index, current, -self._total(index, self._active))
            self._written[index] = array_digest(current)
            self._exact = False

    # How it works ----------------------------------------------------------------------------

    def _change_to(self, target):
        """Compute everything first, then write all or nothing, then remember."""
        self._check_variables()
        changed = [self._variables[index].path for index in self._changed()]
        if changed:
            raise RuntimeError(
                f"Weights of model {self.model.name!r} were changed while patched (by training?): "
                f"{changed}. Call `commit()` to keep them as they are, `rebase()` to keep the "
                "change and the patches, or `revert(discard=True)` to lose the change."
            )
        touched = set()
        for name in {*self._active, *target}:
            before, after = self._active.get(name), target.get(name)
            if before != after:
                touched.update((after or before)[0].indices)
        base = dict(self._base)
        for index in sorted(touched - set(base)):
            base[index] = read_variable(self._variables[index])
        arrays = {
            index: self._shifted(index, base[index], self._total(index, target))
            for index in sorted(touched)
        }
        self._write(base, arrays, target)

    def _write(self, base, arrays, target):
        assign_all([(self._variables[index], array) for index, array in arrays.items()])
        self._settle(base, arrays, target)

    def _settle(self, base, arrays, target):
        patched = {index for patch, _ in target.values() for index in patch.indices}
        # Of what was read back: PyTorch has its own bfloat16 NaN, whatever was written.
        digests = {
            index: array_digest(read_variable(self._variables[index]))
            for index in patched.intersection(arrays)
        }
        self._base = {index: base[index] for index in patched}
        self._written = {index: {**self._written, **digests}[index] for index in patched}
        self._active = target
        if target:
            _ACTIVE[self.model] = weakref.ref(self)
        elif active_patcher(self.model) is None:
            _ACTIVE.pop(self.model, None)

    def _total(self, index, patches):
        total = np.zeros(self._variables[index].shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for name in sorted(patches):
                patch, alpha = patches[name]
                if alpha != 0.0 and index in patch.indices:
                    total = total + alpha * patch.delta(index)
        return total

    def _shifted(self, index, base, total):
        with np.errstate(over="ignore", invalid="ignore"):
            moved = np.asarray(base.astype(np.float64) + total).astype(base.dtype)
        if (np.isfinite(base) & ~np.isfinite(moved)).any():
            raise ValueError(
                f"`alpha`: weight {self._variables[index].path!r} would overflow {base.dtype}."
            )
        # Adding zero would turn -0.0 into 0.0.
        return np.where(total == 0.0, base, moved)

    def _changed(self):
        """Touched weights that no longer are what was written last."""
        return [
            index
            for index, digest in self._written.items()
            if array_digest(read_variable(self._variables[index])) != digest
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

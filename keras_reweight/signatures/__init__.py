"""Weight space: changes of a model's weights that can be applied, combined, saved and undone."""

from keras_reweight.signatures.average_batch_norm import average_batch_norm
from keras_reweight.signatures.evaluate_patched import EvaluatePatched
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.patched import patched
from keras_reweight.signatures.reestimate_batch_norm import reestimate_batch_norm
from keras_reweight.signatures.shallow import shallow
from keras_reweight.signatures.signature_patcher import SignaturePatcher
from keras_reweight.signatures.transfer import transfer
from keras_reweight.signatures.weight_digest import weight_digest
from keras_reweight.signatures.weight_signature import WeightSignature
from keras_reweight.signatures.weight_snapshot import WeightSnapshot

__all__ = [
    "EvaluatePatched",
    "Patch",
    "SignaturePatcher",
    "WeightSignature",
    "WeightSnapshot",
    "average_batch_norm",
    "patched",
    "reestimate_batch_norm",
    "shallow",
    "transfer",
    "weight_digest",
]

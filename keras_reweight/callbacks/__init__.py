"""What changes during training: weights, schedules, memory."""

from keras_reweight.callbacks.backup_state import BackupState
from keras_reweight.callbacks.el2n_reweight import EL2NReweight
from keras_reweight.callbacks.reweight import Reweight

__all__ = [
    "BackupState",
    "EL2NReweight",
    "Reweight",
]

"""What changes during training: weights, schedules, memory."""

from keras_reweight.callbacks.backup_state import BackupState
from keras_reweight.callbacks.deferred_reweighting import DeferredReweighting
from keras_reweight.callbacks.el2n_reweight import EL2NReweight
from keras_reweight.callbacks.kl_dro_reweight import KLDROReweight
from keras_reweight.callbacks.loss_state import LossState
from keras_reweight.callbacks.pesg_schedule import PESGSchedule
from keras_reweight.callbacks.reweight import Reweight

__all__ = [
    "BackupState",
    "DeferredReweighting",
    "EL2NReweight",
    "KLDROReweight",
    "LossState",
    "PESGSchedule",
    "Reweight",
]

"""What changes during training: weights, schedules, memory."""

from keras_reweight.callbacks.ard_prior_update import ARDPriorUpdate
from keras_reweight.callbacks.auto_weighted_losses import AutoWeightedLosses
from keras_reweight.callbacks.backup_state import BackupState
from keras_reweight.callbacks.balance_losses import BalanceLosses
from keras_reweight.callbacks.cape import CaPE
from keras_reweight.callbacks.curriculum import Curriculum
from keras_reweight.callbacks.deferred_reweighting import DeferredReweighting
from keras_reweight.callbacks.el2n_reweight import EL2NReweight
from keras_reweight.callbacks.filter_quality_logger import FilterQualityLogger
from keras_reweight.callbacks.gradient_alignment_mixer import GradientAlignmentMixer
from keras_reweight.callbacks.gradient_norm_sampler import GradientNormSampler
from keras_reweight.callbacks.greedy_group_dro import GreedyGroupDRO
from keras_reweight.callbacks.group_dro import GroupDRO
from keras_reweight.callbacks.group_hedge import GroupHedge
from keras_reweight.callbacks.group_reweight import GroupReweight
from keras_reweight.callbacks.hypervolume_weight import HypervolumeWeight
from keras_reweight.callbacks.kl_annealing import KLAnnealing
from keras_reweight.callbacks.kl_dro_reweight import KLDROReweight
from keras_reweight.callbacks.loss_history_reweight import LossHistoryReweight
from keras_reweight.callbacks.loss_state import LossState
from keras_reweight.callbacks.pesg_schedule import PESGSchedule
from keras_reweight.callbacks.policy_mixer import PolicyMixer
from keras_reweight.callbacks.recap_group_weights import RecapGroupWeights
from keras_reweight.callbacks.reweight import Reweight
from keras_reweight.callbacks.sample_recorder import SampleRecorder
from keras_reweight.callbacks.sample_scheduler import SampleScheduler
from keras_reweight.callbacks.score_reweight import ScoreReweight
from keras_reweight.callbacks.score_tracker import ScoreTracker
from keras_reweight.callbacks.self_paced import SelfPaced
from keras_reweight.callbacks.tensorboard_histograms import TensorBoardHistograms
from keras_reweight.callbacks.unlearn import Unlearn
from keras_reweight.callbacks.weight_aligning import WeightAligning

__all__ = [
    "ARDPriorUpdate",
    "AutoWeightedLosses",
    "BackupState",
    "BalanceLosses",
    "CaPE",
    "Curriculum",
    "DeferredReweighting",
    "EL2NReweight",
    "FilterQualityLogger",
    "GradientAlignmentMixer",
    "GradientNormSampler",
    "GreedyGroupDRO",
    "GroupDRO",
    "GroupHedge",
    "GroupReweight",
    "HypervolumeWeight",
    "KLAnnealing",
    "KLDROReweight",
    "LossHistoryReweight",
    "LossState",
    "PESGSchedule",
    "PolicyMixer",
    "RecapGroupWeights",
    "Reweight",
    "SampleRecorder",
    "SampleScheduler",
    "ScoreReweight",
    "ScoreTracker",
    "SelfPaced",
    "TensorBoardHistograms",
    "Unlearn",
    "WeightAligning",
]

"""Several losses at once: what each of them counts."""

from keras_reweight.tasks.cagrad import CAGrad
from keras_reweight.tasks.dynamic_weight_average import DynamicWeightAverage
from keras_reweight.tasks.fixed_weights import FixedWeights
from keras_reweight.tasks.grad_norm import GradNorm
from keras_reweight.tasks.gradient_annealing import GradientAnnealing
from keras_reweight.tasks.gradient_influence import GradientInfluence
from keras_reweight.tasks.lagrangian import Lagrangian
from keras_reweight.tasks.loss_balancing import LossBalancing
from keras_reweight.tasks.mgda import MGDA
from keras_reweight.tasks.pcgrad import PCGrad
from keras_reweight.tasks.recap import RECAP
from keras_reweight.tasks.samo import SAMO
from keras_reweight.tasks.task_balancer import TaskBalancer, TaskStatistics
from keras_reweight.tasks.uncertainty_weights import UncertaintyWeights
from keras_reweight.tasks.upgrad import UPGrad

__all__ = [
    "CAGrad",
    "DynamicWeightAverage",
    "FixedWeights",
    "GradNorm",
    "GradientAnnealing",
    "GradientInfluence",
    "Lagrangian",
    "LossBalancing",
    "MGDA",
    "PCGrad",
    "RECAP",
    "SAMO",
    "TaskBalancer",
    "TaskStatistics",
    "UPGrad",
    "UncertaintyWeights",
]

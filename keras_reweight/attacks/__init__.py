"""Attacks: inputs near a sample that a model gets wrong."""

from keras_reweight.attacks.apgd import APGD
from keras_reweight.attacks.attack import Attack, Attacked
from keras_reweight.attacks.attack_loss import AttackLoss
from keras_reweight.attacks.ball import Ball
from keras_reweight.attacks.embedding_attack import EmbeddingAttack
from keras_reweight.attacks.fgsm import FGSM
from keras_reweight.attacks.friendly_pgd import FriendlyPGD
from keras_reweight.attacks.pgd import PGD
from keras_reweight.attacks.transfer_attack import TransferAttack
from keras_reweight.attacks.worst_of import WorstOf

__all__ = [
    "APGD",
    "Attack",
    "AttackLoss",
    "Attacked",
    "Ball",
    "EmbeddingAttack",
    "FGSM",
    "FriendlyPGD",
    "PGD",
    "TransferAttack",
    "WorstOf",
]

"""Pairs of a batch: which of them count (miners) and how much (pair weightings)."""

from keras_reweight.metric_learning.all_pairs import AllPairs
from keras_reweight.metric_learning.batch_hard_miner import BatchHardMiner
from keras_reweight.metric_learning.binomial_deviance_weighting import BinomialDevianceWeighting
from keras_reweight.metric_learning.contrastive_weighting import ContrastiveWeighting
from keras_reweight.metric_learning.lifted_structure_weighting import LiftedStructureWeighting
from keras_reweight.metric_learning.multi_similarity_miner import MultiSimilarityMiner
from keras_reweight.metric_learning.multi_similarity_weighting import MultiSimilarityWeighting
from keras_reweight.metric_learning.n_pair_weighting import NPairWeighting
from keras_reweight.metric_learning.pair_miner import PairMiner
from keras_reweight.metric_learning.pair_weighting import PairWeighting
from keras_reweight.metric_learning.triplet_weighting import TripletWeighting

__all__ = [
    "AllPairs",
    "BatchHardMiner",
    "BinomialDevianceWeighting",
    "ContrastiveWeighting",
    "LiftedStructureWeighting",
    "MultiSimilarityMiner",
    "MultiSimilarityWeighting",
    "NPairWeighting",
    "PairMiner",
    "PairWeighting",
    "TripletWeighting",
]

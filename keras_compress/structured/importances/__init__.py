"""What matters: scores of channels."""

from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_compress.structured.importances.entropy_taylor import EntropyTaylor
from keras_compress.structured.importances.fluctuation import Fluctuation
from keras_compress.structured.importances.group_geometric_median import GroupGeometricMedian
from keras_compress.structured.importances.group_hessian import GroupHessian
from keras_compress.structured.importances.group_importance import GroupImportance
from keras_compress.structured.importances.group_lamp import GroupLAMP
from keras_compress.structured.importances.group_magnitude import GroupMagnitude
from keras_compress.structured.importances.group_taylor import GroupTaylor
from keras_compress.structured.importances.obs_importance import OBSImportance
from keras_compress.structured.importances.random_importance import RandomImportance

__all__ = [
    "ChannelImportance",
    "EntropyTaylor",
    "Fluctuation",
    "GroupGeometricMedian",
    "GroupHessian",
    "GroupImportance",
    "GroupLAMP",
    "GroupMagnitude",
    "GroupTaylor",
    "OBSImportance",
    "RandomImportance",
]

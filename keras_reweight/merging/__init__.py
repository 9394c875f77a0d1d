"""Several models into one: averages, arcs and sums of what fine-tuning has changed."""

from keras_reweight.merging.breadcrumbs import breadcrumbs
from keras_reweight.merging.dare import dare
from keras_reweight.merging.greedy_soup import greedy_soup
from keras_reweight.merging.learned_soup import learned_soup
from keras_reweight.merging.linear import linear
from keras_reweight.merging.model_stock import model_stock
from keras_reweight.merging.offset_cosines import offset_cosines
from keras_reweight.merging.slerp import slerp
from keras_reweight.merging.soup import Soup
from keras_reweight.merging.soup_collector import SoupCollector
from keras_reweight.merging.task_arithmetic import task_arithmetic
from keras_reweight.merging.ties import ties
from keras_reweight.merging.uniform_soup import uniform_soup
from keras_reweight.merging.wise_ft import wise_ft

__all__ = [
    "Soup",
    "SoupCollector",
    "breadcrumbs",
    "dare",
    "greedy_soup",
    "learned_soup",
    "linear",
    "model_stock",
    "offset_cosines",
    "slerp",
    "task_arithmetic",
    "ties",
    "uniform_soup",
    "wise_ft",
]

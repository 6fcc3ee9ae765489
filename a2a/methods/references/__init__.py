"""The trivial references that every method must beat, because they know nothing of diffusion.

For undersampled data: the zero-filled image and Tikhonov-regularised SENSE. For missing modalities: linear
regression at each pixel and gradient-boosted trees on local features. Explained in the chapter "The formulation".
"""

from a2a.methods.references.reconstruction import tikhonov_sense, tune_lambda, zero_filled
from a2a.methods.references.regression import BoostedTrees, LinearRegression, TreesConfig

__all__ = ["BoostedTrees", "LinearRegression", "TreesConfig", "tikhonov_sense", "tune_lambda", "zero_filled"]

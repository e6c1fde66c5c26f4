"""How near images are to others: pixel by pixel (`pixels`), as crowds (`distances`, `diversity`), by nets (`features`).

Metrics take images in [0, 1]; every number of a net carries that net's name, and only Inception's is called FID.
"""

from .distances import Moments, extrapolate, frechet, frechet_interval, gaussian_bias, moments
from .diversity import class_entropy, class_histogram, nearest, precision_recall, recognised
from .features import Classifier, classifier, classifier_for, extract, frechet_name, inception, predict
from .pixels import WINDOW, bootstrap, interval, psnr, rmse, ssim

__all__ = ["WINDOW", "Classifier", "Moments", "bootstrap", "class_entropy", "class_histogram", "classifier"]
__all__ += ["classifier_for", "extract", "extrapolate", "frechet", "frechet_interval", "frechet_name"]
__all__ += ["gaussian_bias", "inception", "interval", "moments", "nearest", "precision_recall", "predict", "psnr"]
__all__ += ["recognised", "rmse", "ssim"]

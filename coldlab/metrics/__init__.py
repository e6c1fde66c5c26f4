"""How near images are to others: by pixels (`pixels`, `copies`), as crowds (`distances`, `diversity`), by `features`.

Metrics take images in [0, 1]; every number of a net carries that net's name, and only Inception's is called FID.
"""

from .copies import Originals, neighbours
from .distances import Moments, extrapolate, frechet, frechet_interval, gaussian_bias, moments
from .diversity import class_entropy, class_histogram, nearest, precision_recall, recognised
from .features import Classifier, classifier, classifier_for, extract, frechet_name, inception, predict
from .pixels import WINDOW, bootstrap, interval, psnr, rmse, ssim

__all__ = ["WINDOW", "Classifier", "Moments", "Originals", "bootstrap", "class_entropy", "class_histogram"]
__all__ += ["classifier", "classifier_for", "extract", "extrapolate", "frechet", "frechet_interval", "frechet_name"]
__all__ += ["gaussian_bias", "inception", "interval", "moments", "nearest", "neighbours", "precision_recall"]
__all__ += ["predict", "psnr", "recognised", "rmse", "ssim"]

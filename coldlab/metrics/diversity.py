"""Are generated images like the data, of all its kinds, and new? Classes, precision and recall, nearest neighbours.

The idea that holds this file together: one number cannot tell "bad" from "few" from "copied", so each of the three
questions has its own number, on features or probabilities that the caller has made once (coldlab.features).
"""

import math

import torch

from ..errors import ColdlabError
from .distances import check

CHUNK = 512  # rows of a distance matrix that are in memory at once


def class_histogram(probabilities):
    """Shares (K,) of the classes among images, each counted for its most likely class; they sum to 1, in float64.

    probabilities: (N, K), as coldlab.features.predict gives. Raises ColdlabError for another shape, NaN, or no images.
    """
    guess = _probabilities(probabilities).argmax(1)
    return torch.bincount(guess, minlength=probabilities.shape[1]).double() / len(guess)


def class_entropy(histogram):
    """Entropy of class shares (K,) as a fraction of its largest value: -sum p log p / log K; 1 is even, 0 one class.

    For N images of even classes it is about 1 - (K - 1) / (2 N log K): small samples look a little uneven.
    """
    p = torch.as_tensor(histogram).double()
    if p.ndim != 1 or len(p) < 2 or not bool((p >= 0).all()) or abs(p.sum().item() - 1) > 1e-6:
        raise ColdlabError(f"the histogram is {p.tolist()}; it holds two or more shares that sum to 1.")
    return torch.special.entr(p).sum().abs() / math.log(len(p))  # no -0


def recognised(probabilities, threshold=0.9):
    """The share of images that the net is sure of: largest probability above the threshold; probabilities (N, K)."""
    return (_probabilities(probabilities).amax(1) > threshold).double().mean()


def precision_recall(generated, real, k=3):
    """(precision, recall) of features generated (N, F) and real (M, F), each a float64 scalar in [0, 1].

    A ball around each image of a set reaches to its k-th neighbour within the set. Precision is the share of generated
    images inside a ball of a real one (they look real); recall that of real images inside a ball of a generated one
    (they could have been generated). Source: Kynkäänniemi et al. 2019. Both depend on N and M: compare equal ones.
    Raises ColdlabError for different F, NaN, and sets of k images or fewer.
    """
    generated, real = _pair(generated, real)
    if not 1 <= k < min(len(generated), len(real)):
        raise ColdlabError(
            f"k = {k} neighbours among {len(generated)} and {len(real)} images; k is 1 or more, and less."
        )
    return _covered(generated, real, k), _covered(real, generated, k)


def _covered(points, centres, k):
    """The share of points inside the ball of any centre."""
    radius = torch.cat([_distances(part, centres).kthvalue(k + 1).values for part in centres.split(CHUNK)])
    inside = [(_distances(part, centres) <= radius).any(1) for part in points.split(CHUNK)]
    return torch.cat(inside).double().mean()


def nearest(x, training):
    """(distance, index), each (N,): how far each row of x (N, F) is from the nearest row of training (M, F), and which.

    Distances are root mean squares over F: of images flattened to (N, C * H * W) in [0, 1] they are RMSEs. A generated
    image that is nearer to its neighbour than held-out images are to theirs is suspected to be a copy.
    """
    x, training = _pair(x, training)
    index = torch.cat([torch.cdist(part, training).argmin(1) for part in x.split(CHUNK)])
    return (x - training[index]).square().mean(1).sqrt(), index  # the product form finds, the exact one measures


def _distances(a, b):
    # The exact form: through products, equal rows would come out apart by rounding and be outside their own ball.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _pair(a, b):
    a, b = check(a), check(b)
    if a.shape[1] != b.shape[1] or 0 in (len(a), len(b)):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ColdlabError(f"the sets have shapes {shapes}; both hold images, with the same number of features.")
    return a, b


def _probabilities(probabilities):
    p = check(probabilities)
    if len(p) == 0 or p.shape[1] < 2 or p.min() < 0 or (p.sum(1) - 1).abs().max() > 1e-3:
        raise ColdlabError(
            f"probabilities of shape {tuple(p.shape)} are needed as (images, classes), each row summing to 1: "
            "use coldlab.features.predict, or softmax of the logits."
        )
    return p

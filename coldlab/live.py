"""What the book's live lab reads beside the networks: mixtures over what survives, as plain numbers.

The idea that holds this file together: the singular directions of a blur are not unique, so a browser that computed its
own would read other numbers off an image. They travel with the mixture.
"""

import torch

DIGITS = 7  # of each number: a pixel of x_t needs no more


def portable(prior):
    """A Prior as values for JSON: a start is x_t = sum_k gains_k c_k u_k u'_k^T with c = means_j + factors_j normals.

    rows, columns: which directions k pairs, as numbers of columns of left (size, K') and right (size, K'): x_t is
    made of those of left, and the numbers of an image are read by those of right. weights (J,): of the Gaussians.
    factors: lower triangles, row after row. For one channel.
    """
    i, j, gains = prior.survivors.pairs
    count = int(max(i.max(), j.max())) + 1
    mixture = prior.mixture
    below = torch.tril_indices(len(i), len(i))
    factors = torch.linalg.cholesky(torch.from_numpy(mixture.covariances_))[:, below[0], below[1]]
    left, right = prior.survivors.directions("U"), prior.survivors.directions("Vt").mT
    return {
        "t": prior.t,
        "rows": i.tolist(),
        "columns": j.tolist(),
        "gains": gains.tolist(),
        "left": left[:, :count].tolist(),
        "right": right[:, :count].tolist(),
        "weights": rounded(torch.from_numpy(mixture.weights_)),
        "means": rounded(torch.from_numpy(mixture.means_)),
        "factors": rounded(factors),
    }


def portable_classes(priors, counts):
    """The Priors of several classes, {label: Prior}, as one such mixture; `classes` (J,): the label of each Gaussian.

    counts: {label: images}, by which the classes are weighted. All Priors must keep the same numbers of the same D.
    """
    laws = {label: portable(prior) for label, prior in priors.items()}
    first, whole = next(iter(laws.values())), sum(counts[label] for label in laws)
    if any(law[part] != first[part] for law in laws.values() for part in ("t", "rows", "columns", "gains")):
        raise ValueError("these priors keep different numbers; fit them to images of one D, at one severity.")
    shares = {label: [weight * counts[label] / whole for weight in law["weights"]] for label, law in laws.items()}
    return first | {
        "weights": rounded(torch.tensor([w for share in shares.values() for w in share], dtype=torch.float64)),
        "means": [mean for law in laws.values() for mean in law["means"]],
        "factors": [factor for law in laws.values() for factor in law["factors"]],
        "classes": [label for label, share in shares.items() for _ in share],
    }


def rounded(values):
    """Nested lists of numbers with DIGITS digits."""
    if values.ndim > 1:
        return [rounded(part) for part in values]
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]

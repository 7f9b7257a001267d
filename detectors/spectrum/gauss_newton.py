"""Compute the largest eigenvalues of Jᵀ(diag p - ppᵀ)J: the input Hessian, for linear pieces."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

RECENT_ROWS = 4
"""Last rows, whose sizes correct the predicted sizes of the omitted rows."""

PROBES = 2
"""Random sums of all rows, which detect wrong predictions."""

PROBE_FACTOR = 2
"""Largest size of the omitted rows by the probes, in units of the tolerance."""

ALL_ROWS_FACTOR = 4
"""All rows are computed up to this multiple of k: probes would cost more than they save."""


def gauss_newton(model: nn.Module, x: Tensor, z: Tensor, k: int, tolerance: float) -> Tensor:
    """Return the k largest eigenvalues by at most K - 1 backward passes, or fewer and two probes.

    With diag p - ppᵀ = QQᵀ they are the eigenvalues of the Gram matrix of the rows of (QV)ᵀJ, V
    orthogonal. A row costs one backward pass. V is ordered by the predicted size ‖row‖², with the
    weight W of the last layer in the place of J. An omitted row makes no eigenvalue larger, and the
    sum of the k loses at most the size of the omitted rows. An image gets rows until the predicted
    size of its omitted rows is below `tolerance` times that sum, and two probes agree. The
    prediction is corrected by the ratio of computed to predicted sizes of the last rows. A probe is
    the sum of all rows with random signs, minus the computed rows. Its ‖·‖² is an unbiased estimate
    of the size of the omitted rows for every W. Both are estimates, and no bounds. The rows of an
    image do not depend on its batch.

    Arguments are those of `top_eigenvalues`: the model is piecewise linear around the images
    (N, C, H, W), x is the leaf of the graph of the logits z (N, K), which is kept. The result is
    (N, k) float64, decreasing.
    """
    directions, predicted = _ordered(z)
    tolerance = tolerance if directions.shape[2] > ALL_ROWS_FACTOR * k else 0.0
    omitted = predicted.sum(1, keepdim=True) - predicted.cumsum(1)
    unfinished, index = x.new_ones(len(x), dtype=torch.bool), torch.arange(len(x), device=x.device)
    signs = _signs(directions.shape[2]).to(x.device)
    probes = [_row(x, z, directions @ sign) for sign in signs if tolerance]
    rows, sizes = list[Tensor](), predicted[:, :0]
    for i, direction in enumerate(directions.unbind(2)):
        row = _row(x, z, direction[index]) * unfinished[index].unsqueeze(1)
        rows.append(row.new_zeros(len(unfinished), row.shape[1]).index_copy(0, index, row))
        if not tolerance:
            continue
        sizes = torch.cat([sizes, rows[-1].square().sum(1, keepdim=True)], 1)
        probes = [probe - sign[i] * rows[-1] for probe, sign in zip(probes, signs, strict=True)]
        # The k largest eigenvalues sum to no less than the k largest on the diagonal (Schur-Horn).
        limit = tolerance * sizes.topk(min(k, i + 1), dim=1).values.sum(1)
        excess = (sizes / predicted[:, : i + 1])[:, -RECENT_ROWS:].mean(1)
        measured = torch.stack([probe.square().sum(1) for probe in probes]).mean(0)
        large = (excess * omitted[:, i] > limit) | (measured > PROBE_FACTOR * limit)
        unfinished &= large | (i + 1 < k)
        if not unfinished.any():
            break
        if 2 * unfinished.sum() <= len(index):
            # One more forward pass halves the images of every further backward pass.
            x = x.detach()[unfinished[index]].requires_grad_()
            z, index = model(x), unfinished.nonzero().flatten()
    b = torch.stack(rows, 1)
    values = torch.linalg.eigvalsh(b @ b.mT).clamp_min(0).flip(1)[:, :k]
    return pad(values, (0, k - values.shape[1]))


def _ordered(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return QV (N, K, K - 1) of logits (N, K), and decreasing predicted row sizes (N, K - 1)."""
    p = z.detach().double().softmax(1)
    top = p.sqrt().unsqueeze(2)
    q = torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * top.mT
    matrix = q.mT @ _between_classes(z) @ q
    # Q maps √p to 0. It gets the largest eigenvalue, so that it does not mix with small ones.
    separated = 2 * torch.linalg.matrix_norm(matrix).view(-1, 1, 1) * (top @ top.mT)
    sizes, vectors = torch.linalg.eigh(matrix + separated)
    tiny = torch.finfo(sizes.dtype).tiny
    return q @ vectors.flip(2)[:, :, 1:], sizes.flip(1)[:, 1:].clamp_min(tiny)


def _signs(rows: int) -> Tensor:
    """Return random signs of the rows in each probe, (PROBES, rows) float64, for all images."""
    draws = torch.Generator().manual_seed(rows)
    return torch.randint(2, (PROBES, rows), generator=draws).double() * 2 - 1


def _between_classes(z: Tensor) -> Tensor:
    """Return WWᵀ (K, K) of the last layer, if that is linear; else the identity."""
    last = z.grad_fn
    weight = (
        getattr(last, "_saved_mat2", None) if last and last.name() == "AddmmBackward0" else None
    )
    if weight is None or weight.shape[1] != z.shape[1]:
        return torch.eye(z.shape[1], dtype=torch.float64, device=z.device)
    between: Tensor = weight.detach().double().T @ weight.detach().double()
    return between


def _row(x: Tensor, z: Tensor, direction: Tensor) -> Tensor:
    """Return Jᵀ times one vector (K,) an image, (N, d) float64, by vectors of size 1.

    It is 0 for a vector whose square underflows, as that of a saturated image does.
    """
    size = direction.norm(dim=1, keepdim=True)
    unit = torch.where(size > 0, direction / size.clamp_min(torch.finfo(size.dtype).tiny), 0.0)
    (row,) = torch.autograd.grad(z, x, unit.to(z), retain_graph=True)
    scaled: Tensor = size * row.flatten(1).double()
    return scaled

"""The largest eigenvalues of Jᵀ(diag p - ppᵀ)J, the input Hessian of a piecewise linear network."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

LATE = 4
"""Rows by which those that are left out are foreseen: the last that were taken."""

PROBES = 2
"""Random sums of all rows, which tell when what was foreseen is not so."""

WRONG = 2
"""Times the tolerance: what the probes may measure of the rows left out."""

FEW = 4
"""Up to so many times k rows are all taken: the probes would cost what they save."""


def gauss_newton(model: nn.Module, x: Tensor, z: Tensor, k: int, tolerance: float) -> Tensor:
    """The k largest eigenvalues from at most K - 1 backward passes, or fewer and two probes.

    With diag p - ppᵀ = QQᵀ they are those of the Gram matrix of the rows of (QV)ᵀJ, V orthogonal:
    a backward pass a row. V is ordered by the size ‖row‖² that is foreseen with W, the weight of
    the last layer, in the place of J. Without some rows no eigenvalue is larger, and the sum of the
    k loses what they measure at most. An image takes rows until those left are foreseen to measure
    `tolerance` of that sum, if they exceed W's foresight as the last rows did, and until two probes
    agree. A probe is the sum of all rows with random signs, less what was taken: its ‖·‖² is an
    unbiased estimate of what is left, which holds for a W that foresees nothing. Both are
    estimates, and no bounds. What an image takes does not depend on its batch.

    Args:
        model: As for `top_eigenvalues`, piecewise linear around the images.
        x: Images (N, C, H, W), a leaf of the graph.
        z: Logits (N, K), with their graph, which is kept.
        k: How many eigenvalues, at least 1; those beyond the rank are 0.
        tolerance: Share of the sum of the k that may be lost; 0 for all rows, as there are where
            they are few.

    Returns:
        (N, k) float64, decreasing.
    """
    directions, foreseen = _ordered(z)
    tolerance = tolerance if directions.shape[2] > FEW * k else 0.0
    beyond = foreseen.sum(1, keepdim=True) - foreseen.cumsum(1)
    takes, at = x.new_ones(len(x), dtype=torch.bool), torch.arange(len(x), device=x.device)
    signs = _signs(directions.shape[2]).to(x.device)
    rest = [_row(x, z, directions @ sign) for sign in signs if tolerance]
    rows, sizes = list[Tensor](), foreseen[:, :0]
    for i, direction in enumerate(directions.unbind(2)):
        row = _row(x, z, direction[at]) * takes[at].unsqueeze(1)
        rows.append(row.new_zeros(len(takes), row.shape[1]).index_copy(0, at, row))
        if not tolerance:
            continue
        sizes = torch.cat([sizes, rows[-1].square().sum(1, keepdim=True)], 1)
        rest = [one - sign[i] * rows[-1] for one, sign in zip(rest, signs, strict=True)]
        # The k largest eigenvalues sum to no less than the k largest on the diagonal (Schur-Horn).
        limit = tolerance * sizes.topk(min(k, i + 1), dim=1).values.sum(1)
        excess = (sizes / foreseen[:, : i + 1])[:, -LATE:].mean(1)
        left = torch.stack([one.square().sum(1) for one in rest]).mean(0)
        takes &= (excess * beyond[:, i] > limit) | (left > WRONG * limit) | (i + 1 < k)
        if not takes.any():
            break
        if 2 * takes.sum() <= len(at):
            # One more pass forward, and every further pass is of half as many images.
            x, at = x.detach()[takes[at]].requires_grad_(), takes.nonzero().flatten()
            z = model(x)
    b = torch.stack(rows, 1)
    values = torch.linalg.eigvalsh(b @ b.mT).clamp_min(0).flip(1)[:, :k]
    return pad(values, (0, k - values.shape[1]))


def _ordered(z: Tensor) -> tuple[Tensor, Tensor]:
    """QV (N, K, K - 1) of logits (N, K), and the sizes foreseen of its rows (N, K - 1), falling."""
    p = z.detach().double().softmax(1)
    top = p.sqrt().unsqueeze(2)
    q = torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * top.mT
    matrix = q.mT @ _between_classes(z) @ q
    # Q has nothing for √p: it is set apart as the largest, lest it mix with what is merely small.
    apart = 2 * torch.linalg.matrix_norm(matrix).view(-1, 1, 1) * (top @ top.mT)
    sizes, vectors = torch.linalg.eigh(matrix + apart)
    tiny = torch.finfo(sizes.dtype).tiny
    return q @ vectors.flip(2)[:, :, 1:], sizes.flip(1)[:, 1:].clamp_min(tiny)


def _signs(rows: int) -> Tensor:
    """Random signs of the rows in each probe, (PROBES, rows) float64, the same for all images."""
    draws = torch.Generator().manual_seed(rows)
    return torch.randint(2, (PROBES, rows), generator=draws).double() * 2 - 1


def _between_classes(z: Tensor) -> Tensor:
    """WWᵀ (K, K) of the layer that the logits come from, if that is linear; else the identity."""
    last = z.grad_fn
    weight = (
        getattr(last, "_saved_mat2", None) if last and last.name() == "AddmmBackward0" else None
    )
    if weight is None or weight.shape[1] != z.shape[1]:
        return torch.eye(z.shape[1], dtype=torch.float64, device=z.device)
    between: Tensor = weight.detach().double().T @ weight.detach().double()
    return between


def _row(x: Tensor, z: Tensor, direction: Tensor) -> Tensor:
    """Jᵀ times one vector (K,) an image, (N, d) float64; in between the vectors have the size 1."""
    size = direction.norm(dim=1, keepdim=True)
    unit = direction / size.clamp_min(torch.finfo(size.dtype).tiny)
    (row,) = torch.autograd.grad(z, x, unit.to(z), retain_graph=True)
    whole: Tensor = size * row.flatten(1).double()
    return whole

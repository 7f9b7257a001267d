"""The largest eigenvalues of Jᵀ(diag p - ppᵀ)J, the input Hessian of a piecewise linear network."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

LATE = 4
"""Rows by which those that are left out are judged: the last that were taken."""


def gauss_newton(model: nn.Module, x: Tensor, z: Tensor, k: int, tolerance: float) -> Tensor:
    """The k largest eigenvalues from one forward pass and at most K - 1 backward passes.

    With diag p - ppᵀ = QQᵀ they are those of the Gram matrix of the rows of (QV)ᵀJ, V orthogonal:
    a backward pass a row. V is ordered by the size ‖row‖² that is foreseen with W, the weight of
    the last layer, in the place of J. Without some rows no eigenvalue is larger, and the sum of the
    k loses what they measure at most. An image takes rows until those left are foreseen to measure
    `tolerance` of that sum, if they exceed W's foresight as the last rows did: an estimate, which
    its tests and benchmarks hold against all rows. What it takes does not depend on its batch.

    Args:
        model: As for `top_eigenvalues`, piecewise linear around the images.
        x: Images (N, C, H, W), a leaf of the graph.
        z: Logits (N, K), with their graph, which is kept.
        k: How many eigenvalues, at least 1; those beyond the rank are 0.
        tolerance: Share of the sum of the k that may be lost; 0 for all rows.

    Returns:
        (N, k) float64, decreasing.
    """
    q = _root(z)
    foreseen, order = torch.linalg.eigh(q.mT @ _between_classes(z) @ q)
    # The smallest of the K belongs to √p, for which Q has nothing.
    foreseen, order = foreseen.flip(1)[:, :-1].clamp_min(1e-300), order.flip(2)[:, :, :-1]
    left = foreseen.sum(1, keepdim=True) - foreseen.cumsum(1)
    takes, at = x.new_ones(len(x), dtype=torch.bool), torch.arange(len(x), device=x.device)
    rows, sizes = list[Tensor](), foreseen[:, :0]
    for taken, direction in enumerate((q @ order).unbind(2), start=1):
        row = _row(x, z, direction[at]) * takes[at].unsqueeze(1)
        rows.append(row.new_zeros(len(takes), row.shape[1]).index_copy(0, at, row))
        sizes = torch.cat([sizes, rows[-1].square().sum(1, keepdim=True)], 1)
        if taken < k or not tolerance:
            continue
        # The k largest eigenvalues sum to no less than the k largest on the diagonal (Schur-Horn).
        least = sizes.topk(k, dim=1).values.sum(1)
        excess = (sizes / foreseen[:, :taken])[:, -LATE:].mean(1)
        takes &= excess * left[:, taken - 1] > tolerance * least
        if not takes.any():
            break
        if 2 * takes.sum() <= len(at):
            # One more pass forward, and every further pass is of half as many images.
            x, at = x.detach()[takes[at]].requires_grad_(), takes.nonzero().flatten()
            z = model(x)
    b = torch.stack(rows, 1)
    values = torch.linalg.eigvalsh(b @ b.mT).clamp_min(0).flip(1)[:, :k]
    return pad(values, (0, k - values.shape[1]))


def _root(z: Tensor) -> Tensor:
    """Q (N, K, K) float64 with QQᵀ = diag p - ppᵀ and Q√p = 0, p the softmax of logits (N, K)."""
    p = z.detach().double().softmax(1)
    return torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * p.sqrt().unsqueeze(1)


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

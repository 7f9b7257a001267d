"""The largest eigenvalues of the input Hessian, exactly where the logits are piecewise linear."""

import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.functional import pad

from detectors.base import batches
from detectors.linearity import piecewise_linear

TOLERANCE = 1e-6
"""Relative residual at which Lanczos stops."""

DENSE = 128
"""Images of at most so many values get their whole Hessian: all images share its rows' passes."""

GRAPH = 2**16
"""Pixel values at once where the graph of the forward pass is kept."""


def top_eigenvalues(model: nn.Module, x: Tensor, k: int) -> Tensor:
    """The k eigenvalues of largest magnitude of H = ∇²ₓ ℓ, ℓ the cross-entropy at the argmax.

    Each input takes one of two paths, as `locally_linear` finds for it. Where the logits are
    locally linear in x (ReLU, pooling, convolution, frozen batch-norm), H = Jᵀ(diag p - ppᵀ)J for
    every label: K - 1 backward passes of one forward pass and a K by K eigenproblem. Elsewhere,
    products of H with vectors: all of H for small images, Lanczos (ARPACK) for others.

    Args:
        model: Eval mode, (N, C, H, W) in [0, 1] -> logits (N, K); twice differentiable.
        x: Images (N, C, H, W).
        k: How many eigenvalues, at least 1; those beyond the rank are 0.

    Returns:
        (N, k) float64, by decreasing magnitude.

    Raises:
        ValueError: k is below 1, or there are no images.
        scipy.sparse.linalg.ArpackNoConvergence: Lanczos did not converge.
    """
    if k < 1 or not len(x):
        raise ValueError(f"expected k >= 1 and at least one image, got k = {k} and {len(x)}")
    with torch.enable_grad():
        return torch.cat([_lot(model, lot, k) for lot in batches(x, GRAPH)])


def locally_linear(model: nn.Module, x: Tensor) -> Tensor:
    """Whether the logits are linear in x around each image, up to a term that all share.

    Known without a further pass where all operations are piecewise linear. Elsewhere the product
    of the Hessian of one combination of the logits with one vector, both in general position, must
    be 0 in every coordinate, to the last bit: that is what automatic differentiation returns for a
    piecewise linear network, and no tolerance could tell a weakly curved input from rounding.

    Args:
        model: As for `top_eigenvalues`.
        x: Images (N, C, H, W).

    Returns:
        (N,) bool.
    """
    with torch.enable_grad():
        return torch.cat([_flat(*_forward(model, lot)) for lot in batches(x, GRAPH)])


def _forward(model: nn.Module, lot: Tensor) -> tuple[Tensor, Tensor]:
    """The images as leaves of a graph, and their logits (N, K)."""
    x = lot.detach().clone().requires_grad_()
    return x, model(x)


def _flat(x: Tensor, z: Tensor) -> Tensor:
    if piecewise_linear(z, x):
        return torch.ones(len(x), dtype=torch.bool, device=x.device)
    row = _basis(z.shape[1])[0].to(z).expand_as(z)
    (gradient,) = torch.autograd.grad(z, x, row, retain_graph=True, create_graph=True)
    return _vanishes(gradient, x)


def _lot(model: nn.Module, lot: Tensor, k: int) -> Tensor:
    x, z = _forward(model, lot)
    flat, basis = _flat(x, z), _basis(z.shape[1]).to(z)
    found = torch.zeros(len(x), k, dtype=torch.float64, device=x.device)
    if flat.any():
        rows = list[Tensor]()
        for row in basis:
            rows += torch.autograd.grad(z, x, row.expand_as(z), retain_graph=True)
        b = torch.stack([row.flatten(1) for row in rows], 1)
        found[flat] = _closed(b[flat], z.detach()[flat], basis, k)
    if not flat.all():
        found[~flat] = _iterated(model, lot.detach()[~flat], k)
    return found


def _basis(classes: int) -> Tensor:
    """An orthonormal basis (K - 1, K) of the vectors of sum 0, in general position.

    H is blind to what all logits share, so combinations with coefficients of sum 0 suffice. Drawn:
    a row such as (1, -1, 0, ...) could miss the logit that is curved.
    """
    draws = torch.randn(classes, classes, generator=torch.Generator().manual_seed(classes))
    draws[:, 0] = 1
    rotation: Tensor = torch.linalg.qr(draws.double())[0]
    return rotation.T[1:]


def _vanishes(gradient: Tensor, x: Tensor) -> Tensor:
    """Whether the Hessian belonging to a gradient (N, C, H, W), with its graph, is 0, (N,) bool."""
    if not gradient.requires_grad:
        return torch.ones(len(x), dtype=torch.bool, device=x.device)
    draws = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    vector = draws.to(x.device).expand_as(x)
    product = torch.autograd.grad(gradient, x, vector, retain_graph=True, materialize_grads=True)
    return (product[0] == 0).flatten(1).all(1)


def _closed(b: Tensor, z: Tensor, basis: Tensor, k: int) -> Tensor:
    """Eigenvalues of Jᵀ(diag p - ppᵀ)J from B = WJ (N, K - 1, d), W the basis.

    WᵀB is J up to a row that all logits share, and diag p - ppᵀ = QQᵀ: they are those of
    (WQ)ᵀ BBᵀ (WQ).
    """
    b = b.double()
    p = z.double().softmax(1)
    q = torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * p.sqrt().unsqueeze(1)
    wq = basis.double() @ q
    values = torch.linalg.eigvalsh(wq.mT @ (b @ b.mT) @ wq).clamp_min(0).flip(1)
    values = values[:, : z.shape[1] - 1][:, :k]
    return pad(values, (0, k - values.shape[1]))


def _iterated(model: nn.Module, x: Tensor, k: int) -> Tensor:
    size = x[0].numel()
    if size <= max(DENSE, 4 * k):
        return _dense(model, x, k)
    return torch.stack([_lanczos(model, image.unsqueeze(0), k) for image in x])


def _gradient(model: nn.Module, x: Tensor) -> Tensor:
    """∇ₓ of the cross-entropy at the argmax, with its graph; float64 where 1 - p would round."""
    z = model(x).double()
    loss = z.logsumexp(1) - z.gather(1, z.argmax(1, keepdim=True)).squeeze(1)
    return torch.autograd.grad(loss.sum(), x, create_graph=True)[0]


def _dense(model: nn.Module, x: Tensor, k: int) -> Tensor:
    x = x.requires_grad_()
    gradient = _gradient(model, x)
    size = x[0].numel()
    rows: list[Tensor] = []
    for unit in torch.eye(size, dtype=x.dtype, device=x.device):
        vector = unit.view_as(x[0]).expand_as(x)
        rows += torch.autograd.grad(gradient, x, vector, retain_graph=True)
    whole = torch.stack([row.flatten(1) for row in rows], 1).double()
    values = torch.linalg.eigvalsh((whole + whole.mT) / 2)
    values = values.gather(1, values.abs().argsort(1, descending=True))[:, :k]
    return pad(values, (0, k - values.shape[1]))


def _lanczos(model: nn.Module, x: Tensor, k: int) -> Tensor:
    x = x.requires_grad_()
    gradient = _gradient(model, x)
    start = torch.randn(x.numel(), generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def times(vector: Tensor) -> Tensor:
        vector = vector.to(x).view_as(x)
        (product,) = torch.autograd.grad(gradient, x, vector, retain_graph=True)
        return product.flatten().double().cpu()

    # ARPACK takes values far below 1 for converged, so H is brought to the scale of 1.
    scale = float(times(start).norm() / start.norm())
    if scale == 0:
        return torch.zeros(k, dtype=torch.float64, device=x.device)
    operator = LinearOperator(
        (x.numel(), x.numel()),
        matvec=lambda v: times(torch.from_numpy(v.reshape(-1))).numpy() / scale,
        dtype=float,
    )
    values = torch.from_numpy(
        eigsh(operator, k, v0=start.numpy(), tol=TOLERANCE, return_eigenvectors=False, rng=0)
    )
    order = values.abs().argsort(descending=True)
    return scale * values[order].to(x.device)

"""The largest eigenvalues of the input Hessian, exactly where the logits are piecewise linear."""

import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.functional import pad

from evil_twins.detectors.base import batches
from evil_twins.detectors.spectrum.gauss_newton import gauss_newton
from evil_twins.detectors.spectrum.linearity import piecewise_linear

TOLERANCE = 1e-6
"""Relative residual at which Lanczos stops."""

DENSE = 128
"""Images of at most so many values get their whole Hessian: all images share its rows' passes."""

GRAPH = 2**17
"""Pixel values at once where the graph of the forward pass is kept."""


def top_eigenvalues(model: nn.Module, x: Tensor, k: int, tolerance: float = 0.0) -> Tensor:
    """The k eigenvalues of largest magnitude of H = ∇²ₓ ℓ, ℓ the cross-entropy at the argmax.

    Each input takes one of two paths, as `locally_linear` finds for it. Where the logits are
    locally linear in x (ReLU, pooling, convolution, frozen batch-norm), H = Jᵀ(diag p - ppᵀ)J for
    every label: at most K - 1 backward passes of one forward pass and an eigenproblem of that
    size. Elsewhere, products of H with vectors: all of H for small images, Lanczos (ARPACK) for
    others.

    Args:
        model: Eval mode, (N, C, H, W) in [0, 1] -> logits (N, K); twice differentiable.
        x: Images (N, C, H, W).
        k: How many eigenvalues, at least 1; those beyond the rank are 0.
        tolerance: Share of the sum of the k that may be lost, by estimate, where the logits are
            locally linear: with many classes that saves most passes. 0 for all of it.

    Returns:
        (N, k) float64, by decreasing magnitude.

    Raises:
        ValueError: k is below 1, or there are no images.
        scipy.sparse.linalg.ArpackNoConvergence: Lanczos did not converge.
    """
    if k < 1 or not len(x):
        raise ValueError(f"expected k >= 1 and at least one image, got k = {k} and {len(x)}")
    with torch.enable_grad():
        return torch.cat([_lot(model, lot, k, tolerance) for lot in batches(x, GRAPH)])


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
    row = _general(z.shape[1]).to(z).expand_as(z)
    (gradient,) = torch.autograd.grad(z, x, row, retain_graph=True, create_graph=True)
    return _vanishes(gradient, x)


def _lot(model: nn.Module, lot: Tensor, k: int, tolerance: float) -> Tensor:
    x, z = _forward(model, lot)
    flat = _flat(x, z)
    found = torch.zeros(len(x), k, dtype=torch.float64, device=x.device)
    if flat.any():
        found[flat] = gauss_newton(model, x, z, k, tolerance)[flat]
    if not flat.all():
        found[~flat] = _iterated(model, lot.detach()[~flat], k)
    return found


def _general(classes: int) -> Tensor:
    """Coefficients of the logits (K,) of sum 0, for H is blind to what all logits share.

    Drawn: one such as (1, -1, 0, ...) could miss the logit that is curved.
    """
    draws = torch.randn(classes, generator=torch.Generator().manual_seed(classes))
    return draws - draws.mean()


def _vanishes(gradient: Tensor, x: Tensor) -> Tensor:
    """Whether the Hessian belonging to a gradient (N, C, H, W), with its graph, is 0, (N,) bool."""
    if not gradient.requires_grad:
        return torch.ones(len(x), dtype=torch.bool, device=x.device)
    draws = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    vector = draws.to(x.device).expand_as(x)
    product = torch.autograd.grad(gradient, x, vector, retain_graph=True, materialize_grads=True)
    return (product[0] == 0).flatten(1).all(1)


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

"""Compute the largest eigenvalues of the input Hessian, exact for piecewise linear logits."""

import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.functional import pad

from evil_twins.detectors.base import batches
from evil_twins.detectors.spectrum.differentiable import twice_differentiable
from evil_twins.detectors.spectrum.gauss_newton import gauss_newton
from evil_twins.detectors.spectrum.linearity import piecewise_linear

TOLERANCE = 1e-6
"""Relative residual at the end of Lanczos."""

DENSE = 128
"""Largest number of pixel values of an image for its full Hessian; the images share its passes."""

GRAPH = 2**17
"""Pixel values of a batch whose graph is kept."""


def top_eigenvalues(model: nn.Module, x: Tensor, k: int, tolerance: float = 0.0) -> Tensor:
    """Return the k largest eigenvalues in magnitude of H = ∇²ₓ ℓ, ℓ the loss at the argmax.

    ℓ is the cross-entropy. `locally_linear` chooses one of two methods for each input. If the
    logits are locally linear in x (ReLU, pooling, convolution, frozen batch-norm),
    H = Jᵀ(diag p - ppᵀ)J for every label: at most K - 1 backward passes of one forward pass and an
    eigenproblem of that size. Otherwise products of H with vectors give the full H of small images,
    and Lanczos (ARPACK) the eigenvalues of others. Attention is computed by the kernel that has
    second derivatives.

    Args:
        model: Eval mode, (N, C, H, W) in [0, 1] -> logits (N, K); twice differentiable.
        x: Images (N, C, H, W).
        k: Number of eigenvalues, at least 1; those beyond the rank are 0.
        tolerance: Share of the sum of the k that may be lost, by estimate, for locally linear
            logits: with many classes that saves most passes. 0 for none.

    Returns:
        (N, k) float64, by decreasing magnitude.

    Raises:
        ValueError: k is below 1, or there are no images.
        scipy.sparse.linalg.ArpackNoConvergence: Lanczos did not converge.
    """
    if k < 1 or not len(x):
        raise ValueError(f"expected k >= 1 and at least one image, got k = {k} and {len(x)}")
    with twice_differentiable(model):
        return torch.cat([_eigenvalues(model, batch, k, tolerance) for batch in batches(x, GRAPH)])


def locally_linear(model: nn.Module, x: Tensor) -> Tensor:
    """Return whether the logits are linear in x around each image, up to a common term.

    No further pass is needed if all operations are piecewise linear. Otherwise the product of the
    Hessian of one combination of the logits with one vector, both in general position, must be
    exactly 0 in every coordinate. Automatic differentiation returns that for a piecewise linear
    network; a tolerance could not separate a weakly curved input from rounding. Arguments are those
    of `top_eigenvalues`; the result is (N,) bool.
    """
    with twice_differentiable(model):
        return torch.cat([_flat(*_forward(model, batch)) for batch in batches(x, GRAPH)])


def _forward(model: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
    x = batch.detach().clone().requires_grad_()
    return x, model(x)


def _flat(x: Tensor, z: Tensor) -> Tensor:
    if piecewise_linear(z, x):
        return torch.ones(len(x), dtype=torch.bool, device=x.device)
    row = _general(z.shape[1]).to(z).expand_as(z)
    (gradient,) = torch.autograd.grad(z, x, row, retain_graph=True, create_graph=True)
    return _vanishes(gradient, x)


def _eigenvalues(model: nn.Module, batch: Tensor, k: int, tolerance: float) -> Tensor:
    x, z = _forward(model, batch)
    flat = _flat(x, z)
    values = torch.zeros(len(x), k, dtype=torch.float64, device=x.device)
    if flat.any():
        values[flat] = gauss_newton(model, x, z, k, tolerance)[flat]
    if not flat.all():
        values[~flat] = _iterated(model, batch.detach()[~flat], k)
    return values


def _general(classes: int) -> Tensor:
    """Draw coefficients of the logits (K,) of sum 0, as H ignores a term that all logits share.

    Coefficients such as (1, -1, 0, ...) could miss the curved logit.
    """
    draws = torch.randn(classes, generator=torch.Generator().manual_seed(classes))
    return draws - draws.mean()


def _vanishes(gradient: Tensor, x: Tensor) -> Tensor:
    """Return whether the Hessian of a gradient (N, C, H, W), with its graph, is 0, (N,) bool."""
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
    """Return ∇ₓ ℓ with its graph; float64 as 1 - p would round."""
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
    hessian = torch.stack([row.flatten(1) for row in rows], 1).double()
    values = torch.linalg.eigvalsh((hessian + hessian.mT) / 2)
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

    # ARPACK treats values far below 1 as converged, so H is scaled to about 1.
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

"""The fit cell: the part of a detector that depends on clean data alone."""

from safetensors.torch import save_file
from torch import Tensor

from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.work import Work
from evil_twins.bench.errors import Fault


def run(work: Work) -> None:
    """Run the preparation on the training images; leaves prepared.safetensors."""
    data = work.dataset
    preparation = work.built().preparation
    draws = seeds.generator(data.name, work.spec.get("holder", ""), "preparation", 0)
    made = preparation(data.train.x.to(work.device), draws)
    whose = f"the preparation of detector {work.label!r}"
    if not isinstance(made, dict) or not all(isinstance(v, Tensor) for v in made.values()):
        raise Fault(f"{whose} returned {type(made).__name__}; expected a dict of tensors")
    for name, value in made.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise Fault(f"{whose} returned NaN or infinite values in {name!r}")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in made.items()}
    save_file(tensors, work.out / "prepared.safetensors")

"""Programs in files: the same logits as their network, and parts that are found."""

from pathlib import Path

import pytest
import torch
from torch import nn

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.networks import adoption
from evil_twins.bench.subjects.networks.network import Network, locate
from tests.bench.subjects.networks.test_adoption import CLASSES, IMAGES, X
from tests.bench.subjects.networks.test_structure import settled


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return settled(
            nn.Sequential(
                nn.Conv2d(1, 4, 3, stride=2, padding=1, groups=1, bias=False),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Flatten(),
                nn.Linear(64, 4),
            )
        )


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_program_is_adopted_with_its_weights(tmp_path: Path, suffix: str) -> None:
    model, path = network(), tmp_path / f"w{suffix}"
    if suffix == ".pt2":  # its guard wants batches of three
        torch.export.save(torch.export.export(model, (X[:3],)), path)
    else:
        pytest.importorskip("onnx2torch", reason="onnx2torch is not installed")
        batches = {"x": {0: "n"}}
        options = {"input_names": ["x"], "dynamic_axes": batches, "opset_version": 17}
        torch.onnx.export(model, (X[:3],), str(path), dynamo=False, **options)  # type: ignore[arg-type]
    place = Network(locate(path.name, tmp_path))
    adopted = adoption.adopt(place, path, CLASSES, IMAGES)
    assert adopted.architecture == path.name
    assert torch.allclose(adopted(X), model(X), atol=1e-5)
    assert adopted.network is not None
    assert adopted.network.head is not None
    assert not any(isinstance(part, nn.BatchNorm2d) for part in adopted.modules())
    weights.save(adopted, tmp_path / "victim.safetensors")
    again = weights.load(tmp_path / "victim.safetensors", tmp_path, place)
    assert torch.equal(again(X), adopted(X))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"weights" * 99])
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_damaged_program_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnx2torch", reason="onnx2torch is not installed")
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        Network(locate(path.name, tmp_path)).build(4, (1, 8, 8))
    assert 2 <= len(str(error.value).splitlines()) <= 3


@pytest.mark.filterwarnings("ignore")
def test_an_operation_that_the_reader_of_onnx_lacks_has_a_remedy(tmp_path: Path) -> None:
    pytest.importorskip("onnx2torch", reason="onnx2torch is not installed")
    path = tmp_path / "w.onnx"
    pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    torch.onnx.export(pool, (X[:3],), str(path), dynamo=False, opset_version=19)
    with pytest.raises(UserError, match=r"operation_type='AveragePool'[^\n]*\n.*opset_version=17"):
        Network(locate(path.name, tmp_path)).build(4, (1, 8, 8))

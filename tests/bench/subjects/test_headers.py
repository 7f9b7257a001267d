"""Any file as a file of weights: it is read, or refused in three lines."""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import weights
from tests.bench.subjects.test_weights import other

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
NUMBERS = st.integers(-2, 2**40) | st.sampled_from([0, 1, 8, 10, 2**63, 2**64])
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "architecture": st.sampled_from(["resnet-tiny", "resnet18", "none"]) | JSON,
        "classes": NUMBERS | JSON,
        "shape": st.lists(NUMBERS, max_size=4) | JSON,
    },
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F16", "BF16", "F32", "F64", "I64", "U8", "F8_E4M3", "X", ""]),
        "shape": st.lists(NUMBERS, max_size=4),
        "data_offsets": st.lists(NUMBERS, min_size=1, max_size=3),
    }
)
NAMES = st.sampled_from(["mean", "std", "head.weight", "head.bias", "trunk.0.weight", "x"])
METADATA = (
    st.fixed_dictionaries({"classifier": FACTS.map(json.dumps) | st.text(max_size=20)}) | JSON
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], bytes]:
    """Return header and data of a stored network."""
    path = tmp_path_factory.mktemp("sound") / "model.safetensors"
    weights.save(other(), path)
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header: dict[str, object] = json.loads(content[8 : 8 + size])
    return header, content[8 + size :]


def packed(header: object, data: bytes, size: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


CHANGES = st.tuples(
    st.dictionaries(NAMES, ENTRY | JSON, max_size=2),
    METADATA | st.none(),
    st.none() | st.integers(0, 2**64 - 1),
    st.integers(-9, 9),
)


def refused_or_read(path: Path, content: bytes) -> None:
    """Read a file; whatever is returned computes finite weights in float32."""
    path.write_bytes(content)
    values, message = list[torch.Tensor](), path.name
    try:
        values += weights.load(path, None).state_dict().values()
    except UserError as error:
        message = str(error)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in values)
    assert len(message.splitlines()) <= 3
    assert path.name in message


def changed(sound: tuple[dict[str, object], bytes], change: tuple[object, ...]) -> bytes:
    """Return the file of a network with other entries, metadata, size of the header, or end."""
    (entries, metadata, size, more), (header, data) = change, sound
    assert isinstance(entries, dict)
    assert isinstance(more, int)
    header = header | entries | ({} if metadata is None else {"__metadata__": metadata})
    data = data[:more] if more < 0 else data + bytes(more)
    return packed(header, data, size if size is None else int(str(size)))


SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=40, deadline=None, suppress_health_check=SHARED)
@given(change=CHANGES)
def test_a_header_of_any_form(
    tmp_path: Path, sound: tuple[dict[str, object], bytes], change: tuple[object, ...]
) -> None:
    refused_or_read(tmp_path / "model.safetensors", changed(sound, change))


@pytest.mark.slow
@settings(max_examples=10_000, deadline=10_000, suppress_health_check=SHARED)
@given(content=st.binary(max_size=200) | JSON.map(lambda value: packed(value, b"")), change=CHANGES)
def test_ten_thousand_files(
    tmp_path: Path,
    sound: tuple[dict[str, object], bytes],
    content: bytes,
    change: tuple[object, ...],
) -> None:
    refused_or_read(tmp_path / "model.safetensors", content)
    refused_or_read(tmp_path / "model.safetensors", changed(sound, change))

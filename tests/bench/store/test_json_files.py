"""Any JSON under the name of a stored file: it is of the form of that file, or damaged."""

import ast
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evil_twins.bench.store import json_files, schemas
from evil_twins.bench.store.checksums import content_hash, fingerprint

ROOT = Path(__file__).parents[3]
DIGEST = "0" * 64
LISTED = {"scores.parquet": [3, DIGEST, 5]}
CELL = {
    "kind": "score",
    "identity": "ab",
    "title": "doubt × shift",
    "spec": {
        "dataset": {"name": "digits", "size": None},
        "device": "cpu",
        "detector": {"class": "Doubt", "parameters": {"scale": 1.0}},
        "benign": {"size": 4, "first": 0},
    },
    "parents": {"victim": ["victim", "cd", DIGEST]},
    "versions": {"torch": "2.6"},
    "files": LISTED,
    "content": content_hash(LISTED),
    "provenance": DIGEST,
}
RUN = {"command": ["evil-twins"], "code": {"packages": {"torch": "2"}}, "files": {"a": DIGEST}}
EXAMPLES: dict[str, Any] = {
    "CellFacts": CELL,
    "SealedCell": CELL | {"seal": fingerprint(CELL)},
    "Provenance": {"seconds": 1.5, "machine": {"host": "here"}},
    "FailureNote": {"cell": "a", "reason": "why"},
    "RunFacts": RUN,
    "SealedRun": RUN | {"seal": fingerprint(RUN)},
    "DerivedNote": {"tables": {"key": "k", "files": {"tables/a.csv": DIGEST}, "signature": "s"}},
    "ClassifierFacts": {"architecture": "resnet-tiny", "classes": 10, "shape": [1, 8, 8]},
    "ColumnsFacts": {"info": {"features": {"label": {"names": ["a", "b"]}}}},
}
"""Name of a schema -> a file that it accepts."""

READERS = {
    *("loads", "load", "model_validate_json", "validate_json", "from_json", "raw_decode"),
    *("JSONDecoder", "read_json", "metadata"),
}
REASONS = {
    ("bench/store/json_files.py", "model_validate_json"): "the one reader",
    ("bench/store/json_files.py", "loads"): "text that this process wrote",
    ("bench/components/component.py", "loads"): "text that this process wrote",
    ("bench/components/component.py", "validate_json"): "text that this process wrote",
    ("bench/components/parameters.py", "validate_json"): "text that this process wrote",
    ("bench/contract/run.py", "loads"): "text that this process wrote",
    ("bench/suite/toml.py", "loads"): "the one reader of TOML",
    ("bench/analysis/claims/rules.py", "loads"): "a file of the program itself",
    ("bench/analysis/paper.py", "loads"): "a file of the program itself",
    ("bench/analysis/page/classes.py", "loads"): "a file of the program itself",
    ("bench/analysis/page/glossary.py", "loads"): "a file of the program itself",
    ("bench/analysis/plots/labels.py", "loads"): "words of figures, checked there; no suite",
    ("bench/run/fork_server.py", "loads"): "a pickled call of the process that started this one",
    ("bench/run/guard.py", "loads"): "a pickled answer of a worker of this process",
    ("bench/store/soundness.py", "metadata"): "given to the one reader",
    ("bench/subjects/weights.py", "metadata"): "given to the one reader",
}
"""Calls that read JSON or TOML, with the reason why each is safe."""

VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        st.sampled_from([2**53, -(2**63), 10**400, 1e308, "../x", "\0", "a/b", "", DIGEST]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
TEXTS = st.one_of(
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=30),
    st.sampled_from([b"[" * 10**5, b'{"a":' * 10**5, b"\xef\xbb\xbf{}", b"9" * 10**5, b"NaN"]),
    st.sampled_from([b'{"kind": "\\ud800"}', b'"\xff"', "{}".encode("utf-16")]),
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value, with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@st.composite
def mutants(draw: st.DrawFn, example: Any) -> bytes:
    """Draw a file with one to three changes, under a seal that holds."""
    value = copy.deepcopy(example)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        holder, key = draw(st.sampled_from(places)) if places else (value, "a")
        if draw(st.booleans()):
            holder[key] = draw(VALUES)
        elif isinstance(holder, dict):
            holder.pop(key, None)
    if "seal" in example:
        rest = {key: inner for key, inner in value.items() if key != "seal"}
        value = rest | {"seal": fingerprint(rest)}
    return json.dumps(value).encode()


def _judge(name: str, content: bytes) -> None:
    """Check that a file is damaged, or its facts are of the types that the schema states."""
    facts = json_files.parse(content, getattr(schemas, name))
    if facts is not None:
        again = json.dumps(facts.model_dump(by_alias=True)).encode()
        unsealed = {"SealedCell": "CellFacts", "SealedRun": "RunFacts"}.get(name, name)
        assert json_files.parse(again, getattr(schemas, unsealed)) is not None


def test_every_schema_of_a_file_has_an_example() -> None:
    used = {
        node.id
        for path in ROOT.glob("bench/**/*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("json_files.")
        for argument in call.args
        for node in ast.walk(argument)
        if isinstance(node, ast.Name) and hasattr(schemas, node.id)
    }
    assert used <= EXAMPLES.keys()
    for name, example in EXAMPLES.items():
        assert json_files.parse(json.dumps(example).encode(), getattr(schemas, name)), name


def test_json_and_toml_are_read_in_one_place() -> None:
    calls = {
        (path.relative_to(ROOT).as_posix(), call.func.attr): call.lineno
        for room in ("api", "bench", "attacks", "detectors")
        for path in ROOT.glob(f"{room}/**/*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr in READERS - {"load", "metadata"}
        or ast.unparse(call.func) in ("json.load", "tomllib.load", "header.metadata")
    }
    others = [f"{file}:{calls[file, name]}: {name}" for file, name in calls.keys() - REASONS]
    assert not others, f"read it with bench/store/json_files.py, or give a reason: {others}"
    assert not REASONS.keys() - calls.keys(), "reasons for calls that are gone"


@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_json_is_of_the_form_or_damaged(name: str, data: st.DataObject) -> None:
    _judge(name, data.draw(TEXTS | mutants(EXAMPLES[name])))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_ten_thousand_files_of_json_are_of_the_form_or_damaged(
    name: str, data: st.DataObject
) -> None:
    _judge(name, data.draw(TEXTS | mutants(EXAMPLES[name])))


def test_a_file_of_more_than_the_largest_size_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    for size, accepted in ((json_files.LARGEST, True), (json_files.LARGEST + 1, False)):
        text = '{"reason": "%s"}'
        path.write_text(text % ("a" * (size - len(text) + 2)))
        assert path.stat().st_size == size
        facts = json_files.read(path, tmp_path, schemas.FailureNote)
        assert (facts is not None) == accepted


def test_json_that_is_nested_too_deeply_is_damaged() -> None:
    example = EXAMPLES["CellFacts"]
    for depth, accepted in ((198, True), (199, False)):  # in three tables
        spec = example["spec"] | {"other": {"a": "HERE"}}
        content = json.dumps(example | {"spec": spec}).encode()
        lists = b"[" * depth + b"]" * depth
        facts = json_files.parse(content.replace(b'"HERE"', lists), schemas.CellFacts)
        assert (facts is not None) == accepted


@pytest.mark.parametrize("path", ["missing", "a\0b", "."])
def test_what_is_no_file_is_damaged(tmp_path: Path, path: str) -> None:
    assert json_files.read(tmp_path / path, tmp_path, schemas.FailureNote) is None


@given(st.text() | st.sampled_from(["\udcff", "κ\ud800"]))
def test_what_is_written_is_read(text: str) -> None:
    facts = {"reason": text, "a": [text, 1e-300, 2**60]}
    note = json_files.parse(json_files.encode(facts), schemas.FailureNote)
    assert note is not None
    assert note.reason == text.encode("utf-8", "replace").decode()
    run = {"command": [text], "seconds": 0.1}
    assert json_files.parse(json_files.seal(run), schemas.SealedRun) is not None

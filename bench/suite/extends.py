"""Merge a suite with the suite that it extends."""

from collections.abc import Iterator, Mapping
from typing import Any

from evil_twins.bench.errors import UserError, unknown

Table = Mapping[str, Any]
ENTRIES = ("attacks", "detectors")
SUITE_KEYS = ("name", "description")
"""Keys that a suite never takes from its base: two suites must not share a folder of results."""


def merge(base: Table, changes: Table, file: str) -> dict[str, Any]:
    """Return the base with the changes of a suite.

    Tables merge key by key; other values replace those of the base. An entry of [[attacks]] or
    [[detectors]] replaces the entry of its name if it has a `method`, else it changes keys of it;
    a further one is added at the end.

    Args:
        base: The suite that is extended.
        changes: The suite that extends it, with `drop`: names of entries, or dotted keys.
        file: Name of its file, for messages.

    Raises:
        UserError: `drop` is no list of names, or the base has no such name.
    """
    drop = changes.get("drop", [])
    if not is_list_of_names(drop):
        raise UserError(
            f"{file}: drop is {drop!r}",
            "expected: a list with names of attacks and detectors, or keys such as 'victim.recipe'",
        )
    merged = {key: value for key, value in base.items() if key not in SUITE_KEYS}
    for name in drop:
        merged = _without(merged, name, file)
    changes = {key: value for key, value in changes.items() if key not in ("extends", "drop")}
    for kind in ENTRIES:
        if isinstance(merged.get(kind), list) and isinstance(changes.get(kind), list):
            changes[kind] = _merged_entries(merged[kind], changes[kind])
    return _merged(merged, changes)


def is_list_of_names(value: object) -> bool:
    """Check whether a value of TOML is a list of texts."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _merged(base: Table, changes: Table) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        tables = isinstance(base.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(base[key], value) if tables else value
    return merged


def _label(entry: Any) -> Any:
    return entry.get("name", entry.get("method")) if isinstance(entry, Mapping) else None


def _merged_entries(base: list[Any], changes: list[Any]) -> list[Any]:
    """Merge entries by name; where a name occurs several times, the k-th changes the k-th."""
    merged, labels = list(base), [_label(entry) for entry in changes]
    for i, (entry, label) in enumerate(zip(changes, labels, strict=True)):
        places = [k for k, old in enumerate(base) if label is not None and _label(old) == label]
        turn = labels[:i].count(label)
        if turn >= len(places):
            merged.append(entry)
        elif "method" in entry:
            merged[places[turn]] = entry
        else:
            merged[places[turn]] = _merged(base[places[turn]], entry)
    return merged


def _without(table: Table, name: str, file: str) -> dict[str, Any]:
    """Return the table without the entries of a name, or without a dotted key."""
    *outer, last = name.split(".")
    inner: Any = table
    for key in outer:
        inner = inner.get(key) if isinstance(inner, Mapping) else None
    if isinstance(inner, Mapping) and last in inner:
        return _without_key(table, [*outer, last])
    entries = {key: table[key] for key in ENTRIES if isinstance(table.get(key), list)}
    names = {str(_label(entry)) for kind in entries.values() for entry in kind}
    if name not in names:
        raise unknown(f"name in drop of {file}", name, {*names, *_keys(table)})
    return {
        **table,
        **{kind: [e for e in rows if _label(e) != name] for kind, rows in entries.items()},
    }


def _without_key(table: Table, path: list[str]) -> dict[str, Any]:
    first, *rest = path
    kept = {key: value for key, value in table.items() if rest or key != first}
    return kept | {first: _without_key(table[first], rest)} if rest else kept


def _keys(table: Table, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a table and of the tables in it."""
    for key, value in table.items():
        yield prefix + key
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")

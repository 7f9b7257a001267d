"""Small suites for the tests, as text."""

from pathlib import Path

HERE = Path(__file__).parent
PLUGINS = HERE / "plugins.py"

HEAD = """
name = "small"
dataset = "digits"
[victim]
architecture = "resnet-tiny"
recipe = { epochs = 2 }
[targets]
count = 4
"""


def table(kind: str, **fields: object) -> str:
    """Return one of [[attacks]] or [[detectors]]; values are TOML or text."""
    lines = [f"{name} = {_toml(value)}" for name, value in fields.items()]
    return "\n".join([f"[[{kind}]]", *lines, ""])


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}"
    return f"'{value}'" if isinstance(value, str) else str(value)


def shift(name: str = "shift", **fields: object) -> str:
    return table("attacks", name=name, method=f"{PLUGINS}:Shift", **fields)


def doubt(name: str = "doubt", **fields: object) -> str:
    return table("detectors", name=name, method=f"{PLUGINS}:Doubt", **fields)


def far(name: str = "far", **fields: object) -> str:
    return table("detectors", name=name, method=f"{PLUGINS}:Far", **fields)


def write(folder: Path, *parts: str, head: str = HEAD) -> str:
    """Write a suite file; return its path."""
    path = folder / "small.toml"
    path.write_text("\n".join([head, *parts]))
    return str(path)

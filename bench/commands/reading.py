"""Where the records of a suite lie."""

from pathlib import Path

from evil_twins.bench.errors import UserError, unknown


def directory(suite: str, results: Path) -> Path:
    """The folder of a suite's records, whatever has become of its TOML.

    Args:
        suite: A name, or the path of a TOML file.
        results: Where results lie.

    Raises:
        UserError: There is no such folder.
    """
    if suite.endswith(".toml"):
        from evil_twins.bench.suite.suite import locate, parse

        suite = str(parse(locate(suite)).get("name", ""))
    found = results / suite
    if not found.is_dir():
        stored = [path.name for path in results.glob("*/") if (path / "targets.parquet").exists()]
        if stored:
            raise unknown(f"suite in {results}", suite, stored)
        raise UserError(
            f"no records in {found}\nremedy: `evil-twins run {suite}` first, or --results DIR"
        )
    return found

"""The site's pages, each where it lies in the project: a link works in both places."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
SHOWN = (
    *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "docs/**/*.md"),
    *("results/README.md", "results/reference/**/*.md", "results/reference/**/*.svg"),
)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """What is shown of the project, under its path from the top, in the place of `docs_dir`."""
    for page in files.documentation_pages():
        files.remove(page)
    for pattern in SHOWN:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files

"""Lay out the parts of the site: pages under their paths, the package under its import name."""

import shutil
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "build" / "package" / "evil_twins"
ROOMS = ("attacks", "bench", "detectors")
PAGES = (
    *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"),
    *("docs/**/*.md", "docs/examples/*", "results/README.md"),
    *("results/reference/**/*.md", "results/reference/**/*.svg", "results/reference/*/index.html"),
    *("api/*.py", "attacks/**/*.py", "bench/**/*.py", "detectors/**/*.py"),
)


def on_startup(*, command: str, dirty: bool) -> None:
    """Link the sources as the package `evil_twins`, so that they are read without installation."""
    shutil.rmtree(PACKAGE, ignore_errors=True)
    PACKAGE.mkdir(parents=True)
    for source in (*(ROOT / room for room in ROOMS), *(ROOT / "api").glob("*.py")):
        (PACKAGE / source.name).symlink_to(source)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text of a page; that of the results ends with links to the pages of suites."""
    pages = sorted((ROOT / "results" / "reference").glob("*/index.html"))
    if page.file.src_uri != "results/README.md" or not pages:
        return markdown
    names = [path.parent.name for path in pages]
    links = "".join(f"- [{name}](reference/{name}/index.html)\n" for name in names)
    return f"{markdown}\n## Suites on one page each\n\n{links}"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Replace the pages of `docs_dir` by those of the project, each under its path from the top."""
    for page in files.documentation_pages():
        files.remove(page)
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files

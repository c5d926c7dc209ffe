"""Write every generated part of the documents: tables and figures between markers, docs/settings.md, docs/overview.svg.

    PYTHONPATH=. python measurements/write_docs.py

Reads submissions/, measurements/, the presets and the program's own tables; needs no network and no GPU. Running it
twice changes nothing. A test asserts that running it changes nothing, so no figure of a table lives by hand.
"""

from functools import partial
from pathlib import Path

from measurements import doc_coder, doc_program, doc_results, doc_studies
from measurements.doc_markers import Tables, filled
from measurements.doc_records import FINAL_PHASE, FRONTIER, MEASUREMENTS, NETWORKS, RECIPES, ROOT, recorded_table
from measurements.doc_settings import settings_page
from measurements.draw_overview import overview
from pipeline.runtime.console import say

DOCS = ROOT / "docs"
SETTINGS, OVERVIEW = DOCS / "settings.md", DOCS / "overview.svg"
RECORDED = {  # files of measurements/ that are one table each
    path.stem: partial(recorded_table, name=path.stem)
    for path in sorted(MEASUREMENTS.glob("*.json"))
    if '"columns"' in path.read_text()
}
TABLES: Tables = {
    "results": doc_results.results,
    "results-in-full": doc_results.results_in_full,
    "precisions": doc_results.precisions,
    "members": doc_results.members,
    "frontier": partial(doc_studies.students, FRONTIER),
    "networks": partial(doc_studies.students, NETWORKS),
    "recipes": partial(doc_studies.recipes, RECIPES),
    "final-phase": partial(doc_studies.recipes, FINAL_PHASE),
    "protocols": doc_studies.protocols,
    "family-members": doc_studies.family_members,
    "family-ensembles": doc_studies.family_ensembles,
    "speed-bfloat16": partial(doc_studies.speed, "bfloat16"),
    "speed-float32": partial(doc_studies.speed, "float32"),
    "entropy-coding": doc_coder.entropy_coding,
    "expected-sizes": doc_coder.expected_sizes,
    "coder-seconds": doc_coder.coder_seconds,
    "presets": doc_program.presets,
    "stages": doc_program.stages,
    "commands": doc_program.commands,
    "files": doc_program.files,
    "exit-codes": doc_program.exit_codes,
    "studies": doc_program.studies,
    "check": doc_program.check_first,
    **RECORDED,
}


def documents() -> list[Path]:
    """Every document that a person reads, but the one that is generated whole."""
    return [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if path != SETTINGS)]


def generated() -> dict[Path, str]:
    """Every file with generated parts, and what it should be."""
    marked = {path: filled(path.read_text(), path, TABLES, doc_results.value) for path in documents()}
    return marked | {SETTINGS: settings_page(SETTINGS), OVERVIEW: overview()}


def main() -> None:
    """Write the files that differ, and name them."""
    for path, text in generated().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            say(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

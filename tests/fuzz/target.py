"""What the fuzz targets share: the corpus and the run."""

import sys
from pathlib import Path

import atheris


def run(name, seeds, check):
    """Fuzz `check` from `seeds`; further arguments of the command line are libFuzzer's."""
    corpus = Path("build/fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        if len(seed) < 1000:
            (corpus / f"seed-{index}").write_bytes(seed)
    atheris.Setup([sys.argv[0], f"-artifact_prefix=build/fuzz/{name}-", *sys.argv[1:], str(corpus)], check)
    atheris.Fuzz()

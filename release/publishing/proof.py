"""Before a bundle is served, a fresh process loads it and must score and look up what was scored and looked up before.

A challenger's sample is the gate's: impressions of the held-out day. A bundle that keeps its model and gets a newer
table is proved by what it replaces: ads whose picture and category are as they were, scored by the bundle in service
with codes of its own vocabularies.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from contracts import artifacts
from contracts.batch import CodeColumn
from contracts.errors import DamagedArtifact
from contracts.feature import Feature
from contracts.features import coded
from contracts.settings import Settings
from release.lookup import catalogue, lookup_table
from serving.bundle import Bundle, open_bundle
from serving.sample import write_sample
from serving.scorer import Scorer
from serving.table import Codes, codes_of

CHECK_SECONDS = 600
ADS = 200  # looked up in a kept model's new table


def prove(draft: Path, sample: Path) -> None:
    """A fresh process loads the bundle and checks the sample. Raises DamagedArtifact if it cannot."""
    command = [sys.executable, "-m", "serving", "check", "--unnamed", "--bundle", str(draft), "--sample", str(sample)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise DamagedArtifact(
            f"the new bundle failed its check in a fresh process and is not published: {said[-1] if said else 'silent'}"
        )


def prove_kept(draft: Path, old: Path, table: Path, day: str, settings: Settings) -> None:
    """The same of a bundle with the model of `old`, whose table is `table`'s (address), and the catalogue of `day`."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.safetensors"
        _write(sample, open_bundle(old), table, day, settings)
        prove(draft, sample)


def _write(sample: Path, bundle: Bundle, table: Path, day: str, settings: Settings) -> None:
    ads, before = catalogue.ads_table(settings), artifacts.read(table, check_files=False).day
    pairs = catalogue.some_pairs(ads, before, bundle.table, ADS) or {"-": (None, None)}  # a catalogue that is gone
    then_grey = set(lookup_table.lacking(table))  # their pictures may have landed since
    now = catalogue.pairs_of(ads, day, list(pairs))
    same = [now.get(ad) == pair and pair[0] not in then_grey for ad, pair in pairs.items()]
    codes, categories = codes_of(list(pairs)), CodeColumn.categorical([category for _, category in pairs.values()])
    columns = {one.name: _made(one, bundle, codes, categories) for one in coded(bundle.features)}
    visual, _ = bundle.table.of_codes(codes, categories)
    scorer = Scorer(bundle)
    scores = scorer.score(scorer.rows(columns), visual)
    write_sample(sample, columns, visual, scores, codes, np.array(same, np.bool_))


def _made(feature: Feature, bundle: Bundle, ads: Codes, categories: CodeColumn) -> CodeColumn:
    """A value an ad: its own id and category; else what the model's vocabularies and bins know, in turn."""
    if feature.name == "ad_id":
        return CodeColumn(ads, np.ones(len(ads), np.bool_))
    if feature.name == "category_id":
        return categories
    known = bundle.maps[feature.name].table if feature.name in bundle.maps else np.empty(0)
    if feature.kind == "numeric":
        edges = known if len(known) else np.ones(1)
        return CodeColumn.numeric([float(edges[n % len(edges)]) for n in range(len(ads))])
    words = known if len(known) else codes_of([str(n) for n in range(len(ads))])
    values = [int(words[n % len(words)]) for n in range(len(ads))]
    if feature.kind in ("multi_hot", "sequence"):
        return CodeColumn.lists([[value] for value in values], feature.limit)
    return CodeColumn.categorical(values)

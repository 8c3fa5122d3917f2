"""Recompute the primary verdict of an experiment from its predictions.parquet alone.

    python scripts/recompute_verdict.py predictions.parquet [replicates]

Needs numpy and pyarrow, nothing of DermSynth3D. The draws are its own: intervals agree with
verdict.json up to Monte Carlo error.
"""

import json
import sys

import numpy as np
import pyarrow.parquet as pq

MIN_GROUPS = 20  # a class with fewer test groups has no interval that could be trusted alone


def recompute(path: str, replicates: int = 10_000) -> dict[str, object]:
    rows = pq.read_table(path)
    about = {k.decode(): v.decode() for k, v in rows.schema.metadata.items()}
    classes, comparators = json.loads(about["classes"]), json.loads(about["comparators"])
    table = {n: np.array(rows[n].to_pylist()) for n in ("image_id", "arm", "classifier", "seed")}
    label = np.searchsorted(classes, rows["label"].to_pylist())
    right = np.array(rows["predicted"].to_pylist()) == np.array(rows["label"].to_pylist())
    _, first, image = np.unique(table["image_id"], return_index=True, return_inverse=True)
    truth, seeds = label[first], len(set(table["seed"]))
    names, group = np.unique(np.array(rows["group"].to_pylist())[first], return_inverse=True)
    support = np.zeros((len(names), len(classes)))
    np.add.at(support, (group, truth), 1)  # groups x classes
    hits = {}
    for arm in ["combined", *comparators]:
        own = (table["arm"] == arm) & (table["classifier"] == about["classifier"])
        if own.sum() == seeds * len(first):  # complete: each image once a seed
            hits[arm] = np.zeros_like(support)
            np.add.at(hits[arm], (group[image[own]], label[own]), right[own] / seeds)
    stratum, rng = support.argmax(axis=1), np.random.default_rng(2026)
    weights = np.zeros((replicates, len(names)))
    for members in (np.flatnonzero(stratum == s) for s in np.unique(stratum)):
        share = np.full(len(members), 1 / len(members))
        weights[:, members] = rng.multinomial(len(members), share, replicates)
    large = np.flatnonzero((support > 0).sum(axis=0) >= MIN_GROUPS)

    def score(arm: str, draws: np.ndarray, which: np.ndarray) -> np.ndarray:
        tested = draws @ support[:, which]
        recall = draws @ hits[arm][:, which] / np.maximum(tested, 1)
        return np.asarray(np.nanmean(np.where(tested > 0, recall, np.nan), axis=1))

    bounds, alone, once = {}, {}, np.ones((1, len(names)))
    for arm in [a for a in comparators if a in hits and "combined" in hits]:
        every = np.arange(len(classes))
        drawn = score("combined", weights, every) - score(arm, weights, every)
        value = score("combined", once, every) - score(arm, once, every)
        bounds[arm] = (float(value[0]), *np.quantile(drawn, [0.025, 0.975]).tolist())
        if len(large) > 1:
            drawn = score("combined", weights, large) - score(arm, weights, large)
            alone[arm] = (0.0, *np.quantile(drawn, [0.025, 0.975]).tolist())
    verdict = "no_evidence"
    if "real" not in bounds or not alone:
        verdict = "not_estimable"
    elif all(b[1] > 0 for b in (*bounds.values(), *alone.values())):
        verdict = "helps" if bounds.keys() == set(comparators) else "not_estimable"
    elif bounds["real"][2] < 0 and alone["real"][2] < 0:
        verdict = "hurts"
    return {"verdict": verdict, "differences": bounds}


if __name__ == "__main__":
    print(json.dumps(recompute(sys.argv[1], *map(int, sys.argv[2:])), indent=2))  # noqa: T201

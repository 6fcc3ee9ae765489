"""Claims are judged by what the numbers say: planted orders, trends, refusals, and what was not measured."""

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from a2a.benchmark import refusals, tables
from a2a.benchmark.claims import conclusions, evaluate
from a2a.benchmark.differences import Place, Table
from a2a.benchmark.experiment import Experiment
from a2a.benchmark.statements import Claims, Order
from a2a.common.errors import InputError
from a2a.common.paths import repository

SUBJECTS = [f"s{i}" for i in range(8)]
SETTINGS = {name: {"given": name, "targets": ["CT"]} for name in ("one", "two", "three")}
METHODS = {"A": "a", "B": "b", "C": "c"}


def table(means: dict[tuple[str, str], float], metric: str = "psnr", spread: float = 0.1) -> pd.DataFrame:
    """A value for each subject around the mean of each (method, scenario); halves and costs too."""
    rng, rows = np.random.default_rng(0), []
    for (method, scenario), mean in means.items():
        labels = {"method": method, "scenario": scenario, "modality": "CT", "estimate": "single sample"}
        labels |= {"seconds": 8 * mean, "evaluations": int(mean), "slices": 8}
        values = [(metric, s, mean + spread * rng.standard_normal()) for s in SUBJECTS]
        values += [("rfd", "all subjects", mean)]
        values += [("rfd_half", f"half {i}", mean + spread * rng.standard_normal()) for i in range(20)]
        rows += [labels | {"metric": m, "subject": s, "value": v} for m, s, v in values]
    return pd.DataFrame(rows)


def judged(test: dict | list, results: pd.DataFrame, refused: dict | None = None) -> str:
    """The verdict of one claim."""
    claim = {"id": "X", "where": "here", "says": "so", "test": test}
    claims = Claims(paper="p", experiments=("e",), methods=METHODS, settings=SETTINGS, claims=[claim])
    return conclusions(claims, evaluate(claims, results, refused or {})).verdict.item()


def order(**change: object) -> dict:
    return {"kind": "order", "settings": ["one"], "metrics": ["psnr"], "better": ["A"], "worse": ["B"]} | change


@pytest.mark.parametrize(
    ("a", "b", "spread", "found"),
    [(30, 20, 0.1, "supported"), (20, 30, 0.1, "contradicted"), (30, 33, 5, "undecided")],
)
def test_an_order_is_judged_by_its_interval(a, b, spread, found):
    assert judged(order(), table({("a", "one"): a, ("b", "one"): b}, spread=spread)) == found


@pytest.mark.parametrize(("gap", "found"), [(0.3, "supported"), (3.0, "contradicted"), (-0.3, "contradicted")])
def test_slightly_better_is_better_and_not_by_more_than_said(gap, found):
    results = table({("a", "one"): 20 + gap, ("b", "one"): 20}, spread=0.02)
    assert judged(order(slightly={"psnr": 0.5}), results) == found


def test_the_better_of_two_is_the_one_that_was_chosen_before():
    results = table({("a", "one"): 30, ("b", "one"): 20, ("c", "one"): 25})
    two = order(better=["A", "B"], worse=["C"])
    assert judged(two, results) == "supported"
    assert judged(two | {"chosen": {"one": "B"}}, results) == "contradicted"
    assert judged(two | {"chosen": {"two": "B"}}, results) == "supported"
    with pytest.raises(ValidationError, match="chosen: 'C' must be one of A, B"):
        judged(two | {"chosen": {"one": "C"}}, results)


@pytest.mark.parametrize("metric", ["mae", "aliasing", "rfd", "seconds", "evaluations"])
def test_of_errors_distances_and_costs_less_is_better(metric):
    results = table({("a", "one"): 2.0, ("b", "one"): 5.0}, metric="psnr" if metric == "rfd" else metric)
    assert judged(order(metrics=[metric]), results) == "supported"
    assert judged(order(metrics=[metric], better=["B"], worse=["A"]), results) == "contradicted"


def test_methods_are_compared_on_the_same_slices():
    few = table({("a", "one"): 30, ("b", "one"): 20}).assign(slices=4)
    many = table({("a", "one"): 10, ("c", "one"): 20})
    assert judged(order(), pd.concat([few, many])) == "supported"
    assert judged(order(worse=["C"]), pd.concat([few, many])) == "contradicted"
    assert judged(order(better=["B"], worse=["C"]), pd.concat([few, many])) == "not measured"


def test_most_evaluations_count_and_two_values_of_a_subject_are_refused():
    right = table({("a", "one"): 30, ("b", "one"): 20}).assign(evaluations=50)
    quick = table({("a", "one"): 10}).assign(evaluations=5)
    assert judged(order(), pd.concat([quick, right])) == "supported"
    with pytest.raises(InputError, match="a has two values of psnr for one; keep one experiment"):
        judged(order(), pd.concat([quick.assign(evaluations=50), right]))
    claims = {"paper": "p", "experiments": ("e",), "methods": METHODS, "settings": SETTINGS}
    claims = Claims(**claims, claims=[{"id": "X", "where": "", "says": "", "test": order()}])
    pd.testing.assert_frame_equal(evaluate(claims, pd.concat([right, right]), {}), evaluate(claims, right, {}))


def test_sharpness_is_best_at_one():
    results = table({("a", "one"): 0.9, ("b", "one"): 0.4, ("c", "one"): 2.5}, metric="hfr", spread=0.01)
    assert judged(order(metrics=["hfr"], worse=["B", "C"]), results) == "supported"


def test_the_best_of_several_counts_unless_each_must_be_better():
    results = table({("a", "one"): 10, ("b", "one"): 20, ("c", "one"): 15})
    assert judged(order(better=["A", "B"], worse=["C"]), results) == "supported"
    assert judged(order(better=["A", "B"], worse=["C"], each=True), results) == "contradicted"


@pytest.mark.parametrize(
    ("values", "trend", "first"),
    [
        ((10, 20, 21), "supported", "supported"),
        ((10, 11, 21), "supported", "contradicted"),
        ((10, 20, 19), "contradicted", "supported"),
    ],
)
def test_trends_and_first_steps(values, trend, first):
    results = table({("a", name): value for name, value in zip(SETTINGS, values, strict=True)})
    test = {"settings": list(SETTINGS), "metrics": ["psnr"], "methods": ["A"]}
    assert judged(test | {"kind": "trend"}, results) == trend
    assert judged(test | {"kind": "first-step"}, results) == first


def test_most_is_more_than_half():
    results = table({("a", s): 30 for s in SETTINGS} | {("b", "one"): 20, ("b", "two"): 20, ("b", "three"): 40})
    everywhere = order(settings=list(SETTINGS))
    assert judged(everywhere, results) == "contradicted"
    assert judged(everywhere | {"strength": "most"}, results) == "supported"


def test_most_counts_settings_and_not_pairs_of_methods():
    means = {"a": (30, 30, 30), "b": (20, 20, 20), "c": (20, 40, 40)}
    results = table({(m, s): value for m, row in means.items() for s, value in zip(SETTINGS, row, strict=True)})
    most = order(settings=list(SETTINGS), worse=["B", "C"], strength="most")  # 4 of 6 pairs, 1 of 3 settings
    assert judged(most, results) == "contradicted"


def test_the_more_comparisons_the_wider_their_intervals():
    values = table({("a", name): 0.0 for name in SETTINGS} | {("b", name): 0.0 for name in SETTINGS}, spread=0.0)
    values.loc[(values.method == "a") & (values.metric == "psnr"), "value"] += np.tile(np.arange(8) / 8 - 0.14, 3)
    claim = {"id": "X", "where": "", "says": "", "test": order(settings=list(SETTINGS))}
    both = Claims(paper="p", experiments=("e",), methods=METHODS, settings=SETTINGS, claims=[claim])
    one = Claims(paper="p", experiments=("e",), methods=METHODS, settings=SETTINGS, claims=[claim | {"test": order()}])
    alone, three = (evaluate(claims, values, {}) for claims in (one, both))
    assert len(three) == 3 and (three.high - three.low).min() > 1.3 * (alone.high - alone.low).item()
    assert judged(order(), values) == "supported" and judged(order(settings=list(SETTINGS)), values) == "undecided"


def test_a_rank():
    results = table({("a", "one"): 25, ("b", "one"): 30, ("c", "one"): 20})
    test = {"kind": "rank", "settings": ["one"], "metrics": ["psnr"], "method": "A", "among": ["B", "C"]}
    assert judged(test | {"at_most": 1}, results) == "contradicted"
    assert judged(test | {"at_most": 2}, results) == "supported"


def test_acceptance_and_refusal_are_facts():
    results, refused = table({("a", "one"): 1.0}), {"b: one": "k-space"}
    for kind, method, found in (
        ("acceptance", "A", "supported"), ("acceptance", "B", "contradicted"), ("refusal", "B", "supported"),
        ("refusal", "C", "not measured"),
    ):  # fmt: skip
        assert judged({"kind": kind, "settings": ["one"], "methods": [method]}, results, refused) == found


def test_what_was_not_measured_is_said_and_leaves_a_claim_undecided():
    results = table({("a", "one"): 30, ("b", "one"): 20})
    assert judged(order(settings=["two"]), results) == "not measured"
    assert judged(order(settings=["one", "two"]), results) == "undecided"


def test_a_claim_made_of_others():
    results = table({("a", "one"): 30, ("b", "one"): 20})
    parts = [
        {"id": "X", "where": "", "says": "", "test": order()},
        {"id": "Y", "where": "", "says": "", "test": order(better=["B"], worse=["A"])},
        {"id": "Z", "where": "", "says": "", "test": {"kind": "all-of", "claims": ["X", "Y"]}},
    ]
    claims = Claims(paper="p", experiments=("e",), methods=METHODS, settings=SETTINGS, claims=parts)
    verdicts = conclusions(claims, evaluate(claims, results, {})).set_index("claim").verdict
    assert verdicts.to_dict() == {"X": "supported", "Y": "contradicted", "Z": "contradicted"}


def test_a_statement_of_two_halves_holds_if_both_do():
    results = table({("a", "one"): 30, ("b", "one"): 20, ("a", "two"): 31})
    trend = {"kind": "trend", "settings": ["one", "two"], "metrics": ["psnr"], "methods": ["A"]}
    assert judged([order(), trend], results) == "supported"
    assert judged([order(), trend | {"settings": ["two", "one"]}], results) == "contradicted"
    assert judged([order(), trend | {"methods": ["C"]}], results) == "undecided"


def test_every_combination_has_to_be_accepted():
    scenarios = ["T1 + CT", "T1 + y(CT)", "T1", "CT", "y(CT)", "nothing"]
    each = {"T1": ["clean", "missing"], "CT": ["clean", "measured", "missing"]}
    test = {"kind": "acceptance", "methods": ["A"], "each": each}
    asked = {("a", scenario): 1.0 for scenario in scenarios}
    assert judged(test, table(asked)) == "supported"
    del asked["a", "y(CT)"]
    assert judged(test, table(asked)) == "undecided"
    assert judged(test, table(asked), {"a: y(CT)": "it takes images only"}) == "contradicted"


def test_a_reason_stands_beside_the_verdict_that_it_explains():
    why = {"verdict": "contradicted", "decides": "metric", "says": "of the air"}
    claim = {"id": "X", "where": "", "says": "", "test": order(), "because": why, "before": "supported"}
    claims = Claims(paper="p", experiments=("e",), methods=METHODS, settings=SETTINGS, claims=[claim])
    for a, b, told in ((20, 30, ("metric", "of the air")), (30, 20, ("", ""))):
        results = table({("a", "one"): a, ("b", "one"): b})
        row = conclusions(claims, evaluate(claims, results, {})).iloc[0]
        assert (row.decides, row.because, row.before) == (*told, "supported")


def test_each_claim_of_any2all_that_does_not_hold_says_why():
    claims = Claims.load(repository("experiments", "claims", "any2all.yaml"))
    paths = [repository("results", f"{name}.parquet") for name in claims.experiments]
    found = conclusions(claims, evaluate(claims, tables(paths), refusals(paths)))
    against = found[found.verdict.isin(["contradicted", "undecided"])]
    assert len(against) and (against.because != "").all(), against[against.because == ""]
    assert found.before.notna().all()


def test_the_better_of_the_two_samplers_is_that_of_validation():
    claims = Claims.load(repository("experiments", "claims", "any2all.yaml"))
    validation = Table(tables([repository("results", "tuning", "two-samplers.parquet")]), {})
    orders = [each for claim in claims.claims for each in claim.tests if isinstance(each, Order) and not each.each]
    several = [each for each in orders if len(each.better) > 1]
    assert several
    for test, key in ((each, key) for each in several for key in each.settings):
        place = Place(claims.settings[key].given, claims.settings[key].targets[0], "val")
        means = {name: validation.mean(place, claims.methods[name], *test.metrics) for name in test.better}
        assert test.chosen[key] == max(means, key=means.get)


@pytest.mark.parametrize(("name", "number"), [("any2all", 30), ("umm-csgm", 10), ("apt", 19), ("pmm-synth", 12)])
def test_the_claims_of_the_repository_are_valid_and_complete(name, number):
    claims = Claims.load(repository("experiments", "claims", f"{name}.yaml"))
    assert len(claims.claims) == number
    verdicts = conclusions(claims, evaluate(claims, table({("mmgan", "T1"): 20}), {}))
    assert set(verdicts.verdict) == {"not measured"} and verdicts.claim.is_unique


@pytest.mark.parametrize(("paper", "name"), [("umm-csgm", "umm-csgm"), ("apt", "apt"), ("pmm-synth", "pmmsynth")])
def test_what_tables_measure_is_what_claims_ask_of_our_methods(paper, name):
    claims = Claims.load(repository("experiments", "claims", f"{paper}.yaml"))
    paths = [path for name in claims.experiments for path in repository("experiments").rglob(f"{name}.yaml")]
    jobs = {(job.dataset, job.given, target, job.label) for path in paths for job in Experiment.load(path).jobs
            for target in job.targets}  # fmt: skip
    for setting in claims.settings.values():
        assert all((setting.dataset, setting.given, target, name) in jobs for target in setting.targets)
    ours = {row for row in claims.methods.values() if row.startswith(name)}
    assert ours <= {label for *_, label in jobs}


def test_data_sets_of_a_collection_are_judged_apart():
    claim = {"id": "X", "where": "here", "says": "so", "test": order(settings=["here", "there"])}
    settings = {name: {"given": "one", "targets": ["CT"], "dataset": name} for name in ("here", "there")}
    claims = Claims(paper="p", experiments=("e",), methods=METHODS, settings=settings, claims=[claim])
    parts = [table({("a", "one"): a, ("b", "one"): 20}).assign(dataset=f"card/ci/{name}")
             for name, a in (("here", 25), ("there", 15))]  # fmt: skip
    found = evaluate(claims, pd.concat(parts), {}).set_index("setting").verdict
    assert found.to_dict() == {"here": "supported", "there": "contradicted"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"claims": []}, "claims"),
        ({"claims": [{"id": "X", "where": "", "says": "", "test": {"kind": "guess"}}]}, "guess"),
        ({"claims": [{"id": "X", "where": "", "says": "", "test": order(settings=["four"])}]}, "four"),
        ({"claims": [{"id": "X", "where": "", "says": "", "test": order(better=["D"])}]}, "D"),
        ({"claims": [{"id": "X", "where": "", "says": "", "test": []}]}, "test"),
        (
            {"claims": [{"id": "X", "where": "", "says": "", "test": {"kind": "refusal", "methods": ["A"]}}]},
            "needs settings, or each",
        ),
        ({"claims": [{"id": "X", "where": "", "says": "", "test": order(metrics=[])}]}, "metrics"),
    ],
)
def test_bad_claims_are_refused(tmp_path, change, words):
    content = {"paper": "p", "experiments": ["e"], "methods": METHODS, "settings": SETTINGS} | change
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=words):
        Claims.load(tmp_path / "c.yaml")


def test_claims_of_one_figure_are_those_that_name_it():
    claims = Claims.load(repository("experiments", "claims", "any2all.yaml"))
    assert [claim.id for claim in claims.about(2).claims] == ["U1", "U2"]
    assert {"R8", "R10"} <= {claim.id for claim in claims.about(3).claims} and claims.about(
        4
    ).settings == claims.settings
    with pytest.raises(InputError, match="Figure 9"):
        claims.about(9)

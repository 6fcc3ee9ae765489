"""Model cards in the form of model hubs, made by ``python -m a2a.bookmaking.model_cards``: ``weights/NAME.md``.

Everything in a card is read: licence and keywords from ``CITATION.cff``, modalities and training from the JSON of the
weights, the data from their data card, and the numbers from those rows of ``results/`` that these very weights made.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from a2a.benchmark.table import read_table
from a2a.bookmaking.card_pages import facts
from a2a.common.documents import read_yaml
from a2a.common.errors import InputError
from a2a.common.escaping import markdown
from a2a.common.files import write_text
from a2a.common.paths import repository
from a2a.data.cards.card import DataCard, load_card
from a2a.data.cards.collection import load_collection
from a2a.data.cards.parts import PhantomSource
from a2a.evaluation.metrics import summary
from a2a.figures.looks import METRICS, look
from a2a.forward.stack import Modality, StackSpec
from a2a.methods.registry import find, load_method
from a2a.prior.prior import Prior
from a2a.prior.weights import read_description, trainings

TASK = "image-to-image"
TABLES = "figure-*.parquet"
DIGITS = {"psnr": 2, "ssim": 3}
GROUP = ["dataset", "scenario", "modality", "slices", "method", "evaluations"]
USE = "For research and teaching only. Images that a model makes are plausible, not measured, and must not guide care."
_PRIOR = (
    "A diffusion model of complete stacks of co-registered images. A sampler asks it for stacks that agree with "
    "whatever was acquired: images, undersampled k-space, or nothing."
)


def model_card(path: Path, root: Path, rows: pd.DataFrame) -> str:
    """Return the model card of a weights file: a YAML head as model hubs read it, then a page of Markdown.

    Parameters
    ----------
    path
        The .safetensors file, with its JSON beside it.
    root
        Root of the repository, with ``CITATION.cff`` and ``data_cards/``.
    rows
        Of results tables (`a2a.benchmark.table`) of single samples; those of other weights are left out.

    Raises
    ------
    InputError
        If a file that the card is read from is missing or damaged.
    """
    said, found = read_description(path), measured(rows, *digests(path))
    spec = StackSpec(tuple(Modality(**modality) for modality in said["spec"]))
    data = learned(root / "data_cards", said["card"]["data"]["card"])
    about = read_yaml(root / "CITATION.cff", dict[str, Any])
    head = yaml.safe_dump(_head(path.stem, said, about, data, found), sort_keys=False, allow_unicode=True, width=120)
    parts = [f"---\n{head}---", f"# {path.stem}", _what(said, spec), USE, _use(path.stem, said)]
    parts += [_data(data, said["card"]), *_results(found), _limits(data), _citation(about, data)]
    return "\n\n".join(parts) + "\n"


def learned(folder: Path, name: str) -> DataCard:
    """Return the data card of a name; of a collection one that says of all its data sets what is the same of all.

    Parameters
    ----------
    folder
        ``data_cards/``.
    name
        Of a card or a collection.

    Raises
    ------
    InputError
        If there is none.
    """
    if not (folder / "collections" / f"{name}.yaml").is_file():
        return load_card(folder / f"{name}.yaml")
    collection = load_collection(folder / "collections" / f"{name}.yaml")
    cards = [load_card(folder / f"{member.card}.yaml") for member in collection.members]
    faults = tuple(dict.fromkeys(fault for card in cards for fault in card.known_faults))
    said = {"name": f"collections/{name}", "title": collection.title, "stands_in_for": collection.description}
    return cards[0].model_copy(update=said | {"known_faults": faults})


def digests(path: Path) -> list[str]:
    """Return how results tables name weights: the first digits of the SHA-256 of the tensors, as they are used.

    A prior with an expert has two, without and with the expert's tensors.
    """
    if "method" in read_description(path):
        return [load_method(str(path)).digest[:16]]
    prior = Prior.load(path)
    return list(dict.fromkeys(found[:16] for found in (prior.digest, prior.digest_with_expert)))


def measured(rows: pd.DataFrame, *weights: str) -> pd.DataFrame:
    """Return what was measured with certain weights where something was given: a row for each answer and metric.

    Parameters
    ----------
    rows
        Of results tables.
    weights
        As `digests` returns them.

    Returns
    -------
    pandas.DataFrame
        Columns `GROUP`, ``metric``, and of the subjects ``mean``, ``low`` and ``high`` (95 % interval), ``subjects``.
    """
    rows = rows[rows["weights"].isin(weights) & rows["slice"].isna() & (rows["scenario"] != "nothing")]
    return summary(rows.loc[rows["metric"].isin(DIGITS), [*GROUP, "metric", "subject", "value"]])


def _head(
    name: str, said: dict[str, Any], about: dict[str, Any], data: DataCard, found: pd.DataFrame
) -> dict[str, Any]:
    """The YAML head; fields as the Hugging Face Hub documents them."""
    kinds = dict.fromkeys(modality["kind"] for modality in said["spec"])
    words = [said.get("method", "diffusion-prior"), *about["keywords"], *kinds]
    head = {
        "license": about["license"].lower(),
        "library_name": about["title"].partition(":")[0],
        "pipeline_tag": TASK,
        "tags": [word.lower().replace(" ", "-") for word in words],
        "datasets": [data.name],
    }
    if found.empty:
        return head
    results = [
        {
            "task": {"type": TASK, "name": f"{modality} from {scenario}"},
            "dataset": {"type": data.name, "name": data.title, "config": dataset.partition("/")[2], "split": "test"},
            "metrics": [
                {"type": r.metric, "name": f"{METRICS[r.metric].title}, {look(r.method).label}", "value": _value(r)}
                for r in rows.itertuples()
            ],
        }
        for (dataset, scenario, modality), rows in found.groupby(["dataset", "scenario", "modality"], sort=False)
    ]
    return head | {"metrics": list(DIGITS), "model-index": [{"name": name, "results": results}]}


def _value(row: Any) -> float:
    return round(row.mean, DIGITS[row.metric])


def _what(said: dict[str, Any], spec: StackSpec) -> str:
    """Say what the weights are, a method's in the words of its module."""
    text = _PRIOR
    if "method" in said:
        text = inspect.getdoc(inspect.getmodule(find(said["method"])))
    form = f"Modalities: {', '.join(spec.names)}; slices of {said['size']} x {said['size']} pixels."
    return f"{markdown(text)}\n\n{markdown(form)}"


def _use(name: str, said: dict[str, Any]) -> str:
    """The lines of Python that load the weights."""
    module, what = ("a2a.methods.registry", "method") if "method" in said else ("a2a", "prior")
    given = f"weights/{name}.safetensors" if "method" in said else name
    lines = [f"from {module} import load_{what}", "", f'{what} = load_{what}("{given}")']
    return "\n".join(["## Use", "", "```python", *lines, "```"])


def _data(data: DataCard, card: dict[str, Any]) -> str:
    """What the weights learnt from, and what that took."""
    runs = trainings(card)
    total = f"{sum(r['images_seen'] for r in runs):,} slices seen in {sum(r['seconds'] for r in runs) / 3600:.1f} hours"
    lines = [f"- **{name}:** {markdown(value)}" for name, value in facts(card).items()]
    named = f"{markdown(data.title)} (`data_cards/{data.name}.yaml`, {markdown(data.licence.name)})."
    lines.insert(0, f"- **Stands in for:** {markdown(data.stands_in_for)}")
    whole = f"In all trainings together ({len(runs)}): {total}." if len(runs) > 1 else f"In all: {total}."
    return "\n".join(["## Training", "", named, "", *lines, "", whole])


def _results(found: pd.DataFrame) -> list[str]:
    """The table of what was measured, or nothing."""
    if found.empty:
        return []
    lines = [
        "## Results",
        "",
        "One answer for each slice of the test subjects; mean over the subjects, with its 95 % interval.",
        "",
        "| Given | Made | Method | Evaluations | PSNR (dB) | SSIM |",
        "|---|---|---|---:|---:|---:|",
    ]
    for (_, scenario, modality, _, method, evaluations), rows in found.groupby(GROUP, sort=False):
        told = {row.metric: _interval(row) for row in rows.itertuples()}
        cells = [markdown(scenario), modality, look(method).label, f"{evaluations:.0f}", told["psnr"], told["ssim"]]
        lines.append(f"| {' | '.join(cells)} |")
    return ["\n".join(lines)]


def _interval(row: Any) -> str:
    form = f".{DIGITS[row.metric]}f"
    return f"{row.mean:{form}} ({row.low:{form}} to {row.high:{form}})"


def _limits(data: DataCard) -> str:
    """What is known to be wrong with the training data."""
    faults = [f"- {markdown(fault)}" for fault in data.known_faults]
    text = "Weights know only images prepared as their training data were." + " Known faults of these:" * bool(faults)
    return "\n".join(["## Limits", "", text, *([""] if faults else []), *faults])


def _citation(about: dict[str, Any], data: DataCard) -> str:
    """The paper that introduces Any2all, and whose images the weights learnt from where they are somebody's."""
    (paper,) = about["references"]
    names = ", ".join(f"{author['given-names']} {author['family-names']}" for author in paper["authors"])
    lines = ["## Cite", "", f"{names}. {paper['title']}. {paper['year']}. <{paper['url']}>"]
    if not isinstance(data.source, PhantomSource):
        owner, licence = markdown(data.licence.owner), markdown(data.licence.name)
        whose = f"The training images are those of {owner}, {licence} (<{data.licence.url}>):"
        lines += ["", whose, "", *(f"- {markdown(reference)}" for reference in data.citation)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the card of every shipped weights file."""
    parser = argparse.ArgumentParser(
        prog="python -m a2a.bookmaking.model_cards", description="Write weights/NAME.md for all weights that are here."
    )
    parser.add_argument("names", nargs="*", help="of weights; by default all")
    options = parser.parse_args(arguments)
    names = options.names or [path.stem for path in sorted(repository("weights").glob("*.safetensors"))]
    rows = read_table(*sorted(repository("results").glob(TABLES)))
    for name in names:
        path = repository("weights", f"{name}.safetensors")
        write_text(path.with_suffix(".md"), model_card(path, repository(), rows))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"model_cards: {error}", file=sys.stderr)
        sys.exit(2)

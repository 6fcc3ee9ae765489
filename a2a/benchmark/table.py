"""The results table: a Parquet file with one row for each measurement, which says where it comes from.

Rows of a whole split or of a subject have no `slice`; rows of single slices have the slice's number in the split. A
scenario that a method cannot use is one row too: its `reason` says why, and it has no value. Explained in the chapter
"All methods side by side".
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import a2a
from a2a.common.errors import InputError
from a2a.common.files import write_atomically
from a2a.common.paths import repository
from a2a.common.provenance import commit, machine
from a2a.data.store.read import SliceStore

VERSION = "3"
"""Of the columns and of what metrics mean (3: realism inside the head of the truth); in the metadata of each file."""

_TEXT, _COUNT = pa.string(), pa.int32()
SCHEMA = pa.schema(
    {
        "subject": _TEXT,
        "modality": _TEXT,
        "metric": _TEXT,
        "value": pa.float64(),
        "estimate": _TEXT,
        "dataset": _TEXT,
        "scenario": _TEXT,
        "method": _TEXT,
        "settings": _TEXT,
        "slices": _COUNT,
        "evaluations": _COUNT,
        "seconds": pa.float64(),
        "slice": _COUNT,
        "sample": _COUNT,
        "reason": _TEXT,
        "experiment": _TEXT,
        "job": _TEXT,
        "store": _TEXT,
        "weights": _TEXT,
        "seed": _COUNT,
        "precision": _TEXT,
        "device": _TEXT,
        "version": _TEXT,
        "commit": _TEXT,
        "finished": pa.timestamp("ms", tz="UTC"),
    },
    metadata={"a2a-results": VERSION},
)
"""Columns and their types.

``slices`` (of the job) and ``seconds`` (of all of them) are costs of the job; ``sample`` is the number of a posterior
sample, empty for their mean; ``job`` is a hash of all settings that decide the rows. ``job, store, weights`` are the
first 16 digits of SHA-256; ``weights`` are those of the prior or method, for the trivial references the training split.
"""

DIGEST = b"a2a-sha256"
"""Where the metadata of a file say what `digest` its table has."""

MEASURED = SCHEMA.names[: SCHEMA.get_field_index("slice")]
"""Columns of `tables`."""


NOISE_SEEDS = {"train": 0, "val": 1, "test": 2}
"""Added to an experiment's seed for the noise of each split, alike for all methods and the trivial references."""


def split_digest(store: SliceStore, split: str = "test") -> str:
    """Hash of a split of a store."""
    return store.manifest["sha256"][f"{split}.npy"][:16]


def origin(experiment: str, seed: int, store: SliceStore, split: str = "test", dataset: str = "") -> dict[str, object]:
    """Columns that say where rows come from that were measured just now.

    Parameters
    ----------
    experiment
        Its name.
    seed
        Its seed.
    store
        Where the slices that were measured are.
    split
        Which of them; another one than ``test`` is named in ``dataset``, so that its rows are never taken for results.
    dataset
        Identifier of a data set of a collection; it ends the column ``dataset``.
    """
    parts = [store.said("card"), store.said("profile"), *([] if split == "test" else [split])]
    return {
        "dataset": "/".join([*parts, *([dataset] if dataset else [])]),
        "store": split_digest(store, split),
        "experiment": experiment,
        "seed": seed,
        "device": machine()["device"],
        "version": a2a.__version__,
        "commit": commit(repository()),
        "finished": datetime.now(UTC).replace(microsecond=0),
    }


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table atomically; columns that it lacks are left empty.

    Raises
    ------
    InputError
        If it has a column that is not in `SCHEMA`.
    """
    if unknown := [name for name in table if name not in SCHEMA.names]:
        raise InputError(f"{path}: results have no column {unknown[0]!r}; they have {', '.join(SCHEMA.names)}.")
    lacking = {field.name: pa.nulls(len(table), field.type) for field in SCHEMA if field.name not in table}
    content = pa.table({name: lacking.get(name, table.get(name)) for name in SCHEMA.names}, schema=SCHEMA)
    signed = content.replace_schema_metadata(SCHEMA.metadata | {DIGEST: digest(content)})
    write_atomically(path, lambda p: pq.write_table(signed, p, compression="zstd", write_page_checksum=True))


def digest(table: pa.Table) -> str:
    """SHA-256 over every value of a table, column by column, and where one is missing."""
    total = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        total.update(f"\0{name} {column.type} {len(column)}\0".encode())
        total.update(column.is_null().to_numpy(zero_copy_only=False).tobytes())
        if column.type == _TEXT:
            total.update("\0".join(column.fill_null("").to_pylist()).encode())
        else:
            numbers = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
            total.update(numbers.fill_null(0).to_numpy().tobytes())
    return total.hexdigest()


def read_table(*paths: Path) -> pd.DataFrame:
    """Read all rows and columns of one or more tables.

    Raises
    ------
    InputError
        If a file is missing, damaged (also by a single bit) or no Parquet, or has other columns than this version of
        a2a writes.
    """
    return pa.concat_tables([SCHEMA.empty_table(), *map(_content, paths)]).to_pandas()


def tables(paths: Iterable[Path]) -> pd.DataFrame:
    """Join the measurements of subjects and of whole splits of several results tables.

    Returns
    -------
    pandas.DataFrame
        Columns `MEASURED`; without rows of single slices and without refusals.

    Raises
    ------
    InputError
        As `read_table`; or if a prior was evaluated in one number format here and in another there.
    """
    paths = [*paths]
    table = read_table(*paths)
    formats = table.loc[table["method"].str.startswith("any2all"), "precision"].dropna().unique()
    if len(formats) > 1:
        names = ", ".join(Path(path).name for path in paths)
        raise InputError(f"{names}: priors in {' and in '.join(formats)} cannot be compared; measure all in one.")
    return table.loc[table["slice"].isna() & table["reason"].isna(), MEASURED].reset_index(drop=True)


def refusals(paths: Iterable[Path]) -> dict[str, str]:
    """Why methods cannot use scenarios: reasons by ``"METHOD: SCENARIO"``. Errors as in `read_table`."""
    found = read_table(*paths).dropna(subset="reason")
    return dict(zip(found["method"] + ": " + found["scenario"], found["reason"], strict=True))


def _content(path: Path) -> pa.Table:
    """Check and read one file."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; results tables are written by a2a bench.")
    try:
        schema = pq.read_schema(path)
        if schema.names != SCHEMA.names or (schema.metadata or {}).get(b"a2a-results") != VERSION.encode():
            raise InputError(f"{path}: not a results table of version {VERSION}; remove it and measure again.")
        found = pq.read_table(path, partitioning=None, page_checksum_verification=True).cast(SCHEMA)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no whole Parquet file; remove it and measure again.") from error
    if digest(found).encode() != schema.metadata.get(DIGEST):
        raise InputError(f"{path}: damaged, its values have not the digest it was written with; measure again.")
    return found

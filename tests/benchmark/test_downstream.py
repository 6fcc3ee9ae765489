"""Outlines in completed stacks: a network that learned squares, and what it finds in better and worse images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.benchmark.downstream import Downstream, downstream_table
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.pmmsynth import PMMSynth, PMMSynthConfig
from a2a.methods.recipes import load_config, objective
from a2a.methods.segmenter import Segmenter, SegmenterConfig
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.training.loop import train

pytest.importorskip("monai", reason="MONAI is not installed")
SPEC = StackSpec.of("T1", "T2FLAIR")
MAPS = [{"name": "lesions", "values": {"0": "background", "1": "lesion"}}]
CONFIG = SegmenterConfig(
    name="s", data="d", labels="lesions", widths=(8, 8, 8, 8), steps=60, batch=8, lr=2e-2, warmup=5, ema=0.0,
    precision="float32", checkpoint_every=60, augmentation={"flip": 0.0},
)  # fmt: skip


def store_of(path: Path, datasets: bool) -> SliceStore:
    """Noise with a square that is bright in T2FLAIR alone."""
    rng = np.random.default_rng(0)
    with StoreWriter(path, SPEC, 16, label_maps=MAPS, incomplete=datasets) as writer:
        for split in ("train", "val", "test"):
            for name in ("here-a", "here-b"):
                images, labels = rng.uniform(0.3, 0.4, (8, 2, 16, 16)), np.zeros((8, 1, 16, 16), np.uint8)
                for number, (y, x) in enumerate(rng.integers(2, 8, (8, 2))):
                    labels[number, 0, y : y + 6, x : x + 6] = 1
                images[:, 1] += 0.5 * labels[:, 0]
                writer.add(split, f"{name}-{split}", list(range(8)), [4.0 * i for i in range(8)], images, labels)
        names = [f"{name}-{split}" for name in ("here-a", "here-b") for split in ("train", "val", "test")]
        said = {"card": "none", "profile": "ci", "fingerprint": "f", "preprocessing": {"field_of_view_mm": 224}}
        writer.finish(said | ({"datasets": {"here": names}} if datasets else {}))
    return SliceStore.open(path)


def test_better_images_are_outlined_better(tmp_path):
    store = store_of(tmp_path / "all", datasets=True)
    single = store_of(tmp_path / "one", datasets=False)
    path = train(objective(CONFIG, single), tmp_path / "run")
    left = CONFIG.model_copy(update={"without": "T2FLAIR", "steps": 2})
    less = train(objective(left, single), tmp_path / "less")
    config = PMMSynthConfig(name="p", data="d", steps=1, width=4, discriminator_widths=(4,))
    torch.manual_seed(0)
    known = {"datasets": {"here": list(SPEC.names)}}
    PMMSynth(PMMSynth.build(config, SPEC, 16).eval(), config, SPEC, 16, known).save(tmp_path / "p.safetensors")
    asked = Downstream(
        name="d", segmenter=path, without={"T2FLAIR": less}, weights={"pmmsynth": tmp_path / "p.safetensors"},
        jobs=[{"dataset": "here", "given": "T1", "targets": ["T2FLAIR"], "method": "pmmsynth"}],
    )  # fmt: skip
    network = UNet(UNetConfig(2, 8, (1, 2), attention=(), head_width=8))
    table = downstream_table(asked, Prior(network, NoiseSchedule(), SPEC, 16), store)
    means = table.groupby(["metric", "method"]).value.mean()
    assert means["dice_lesions", "real"] > 0.9 > means["dice_lesions", "zeros"]
    assert means["dice_lesions_real", "real"] == 1 and means["hd95_lesions", "real"] < means["hd95_lesions", "zeros"]
    assert set(table.method) == {"real", "zeros", "mean", "without", "pmmsynth"}
    assert {"psnr_lesion", "psnr_healthy", "ssim_lesion", "ssim_healthy"} <= set(table.metric)
    assert set(table.subject) == {"here-a-test", "here-b-test"}
    again = Segmenter.load(path)
    with pytest.raises(InputError, match="a modality that the segmenter looks at is missing"):
        again.outline(torch.full((1, 2, 16, 16), torch.nan))
    with pytest.raises(InputError, match="has no label map 'tumour'; it has lesions"):
        objective(CONFIG.model_copy(update={"labels": "tumour"}), single).networks()
    with pytest.raises(ValueError, match="labels do not follow it; set flip: 0.0"):
        SegmenterConfig(**CONFIG.model_dump() | {"augmentation": {"flip": 0.5}})


@pytest.mark.parametrize(
    "path", sorted(repository("experiments", "downstream").glob("*.yaml")), ids=lambda path: path.stem
)
def test_recipes_and_experiments_are_valid(path):
    if path.stem.startswith(("segmenter", "tissues")):
        assert load_config(path).name == path.stem
    else:
        asked = Downstream.load(path).at("ci")
        assert set(asked.without) == {job.targets[0] for job in asked.jobs} and asked.name == f"downstream-{path.stem}"

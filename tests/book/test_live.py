"""The page "Try it" in Chromium with the network off: the same samples as `a2a.mds`, and a sentence for each fault."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.bookmaking.live import SPACING, STEPS, write_live
from a2a.common.paths import repository
from a2a.common.rng import randn, spawn
from a2a.data.store.read import Split
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.samplers import mds

pytest.importorskip("onnxruntime", reason="the live page needs the extra [onnx], which is not installed")
SPEC, SIDE = StackSpec.of("T1", "T2FLAIR", "CT"), 16
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Try it</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="live/try-it.css">
<main><h1>Try it</h1><div class="try-it"></div></main><script src="live/try-it.js"></script></html>"""
SAMPLE = """async ({given, acceleration, noise}) => {
  const {prior} = document.querySelector('.try-it').page.live;
  const maps = birdcage(prior.coils, prior.size, prior.size, prior.radius);
  const folding = new Folding(maps, acceleration, prior.size, prior.size);
  const told = given.map((g) => g.clean ? {clean: Float64Array.from(g.clean)} : g.adjoint
    ? {measured: {operator: folding, adjoint: Float64Array.from(g.adjoint), energy: g.energy,
                  noiseStd: prior.noise_std}} : {});
  const draws = noise.map((z) => Float64Array.from(z));
  return Array.from(await sampleMDS(prior, told, () => draws.shift()));
}"""


@pytest.fixture(scope="module")
def prior() -> Prior:
    """Make a prior of three modalities whose answers depend on everything that it is shown."""
    torch.manual_seed(0)
    network = UNet(UNetConfig(3, 8, (1, 2), attention=(2,), head_width=8, noise_levels="per-modality")).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
        parameter.data = parameter.data.half().float()  # as the page stores them
    return Prior(network, NoiseSchedule(), SPEC, SIDE, predicts="velocity")


@pytest.fixture(scope="module")
def split() -> Split:
    """Make slices of smooth random images."""
    coarse = np.random.default_rng(0).random((14, 3, SIDE // 4, SIDE // 4)).astype(np.float16)
    names, nothing, labels = np.arange(14).astype(str), np.zeros(14), np.zeros((14, 0, SIDE, SIDE), np.uint8)
    return Split(coarse.repeat(4, -1).repeat(4, -2), names, nothing, nothing, labels)


@pytest.fixture
def place(tmp_path: Path, prior: Prior, split: Split, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the page and its files; skip where npm cannot fetch the runtime."""
    shutil.copytree(repository("book", "live"), tmp_path / "live")
    told = []
    write_live(tmp_path / "live", prior, split, told.append)
    if told:
        pytest.skip(told[0])
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    return tmp_path


def opened(browser, place: Path, script: str = ""):
    """Open the page without network, and load the network that it holds."""
    page = browser.new_context(offline=True).new_page()
    page.add_init_script(script)
    page.goto((place / "page.html").as_uri())
    page.click(".try-it button")
    said = "document.querySelector('.try-it .status').textContent"
    page.wait_for_function(f"/^(?!Loading|$)/.test({said})", timeout=60_000)
    return page


def status(page) -> str:
    return page.text_content(".try-it .status")


@pytest.mark.parametrize(("scenario", "acceleration"), [("T1 + y(T2FLAIR)", 4), ("y(T1) + y(CT)", 8), ("CT", 2)])
def test_the_page_gives_the_sample_of_the_package(browser, place, prior, split, scenario, acceleration):
    truth = torch.from_numpy(split.images[:1].astype(np.float32))
    observed = Observation.simulate(truth, scenario, SPEC, Undersampling(acceleration=acceleration))
    options = {"steps": STEPS, "spacing": SPACING, "noise_levels": "per-modality"}
    ours = mds(prior, observed, **options, generators=spawn(3, 1)).samples[0, 0]
    draws = spawn(3, 1)
    noise = [randn((3, SIDE, SIDE), draws, truth).flatten().tolist() for _ in range(STEPS + 1)]
    given = [
        {"clean": observed.adjoint[0, i].flatten().tolist()} if kind == "clean"
        else {"adjoint": observed.adjoint[0, i].flatten().tolist(), "energy": float(observed.energy[0, i])}
        if kind == "measured" else {}
        for i, kind in enumerate(observed.kinds)
    ]  # fmt: skip
    page = opened(browser, place)
    assert status(page).startswith("Ready"), status(page)
    theirs = page.evaluate(SAMPLE, {"given": given, "acceleration": acceleration, "noise": noise})
    assert float(ours.std()) > 0.05
    np.testing.assert_allclose(np.reshape(theirs, ours.shape), ours, atol=1e-3)


def test_what_the_page_measures_is_what_the_package_measures(browser, place, split):
    page = opened(browser, place)
    truth = torch.from_numpy(split.images[:1].astype(np.float32))
    for acceleration in (2, 4, 8):
        exact = Undersampling(acceleration=acceleration, noise_std=0.0)
        observed = Observation.simulate(truth, "y(T1)", SPEC, exact)
        measured = page.evaluate(
            """([image, r]) => {
              const {adjoint, energy} = document.querySelector('.try-it').page.live.foldings.get(r)
                .measure(Float64Array.from(image), 0, (n) => new Float64Array(n));
              return [Array.from(adjoint), energy];
            }""",
            [truth[0, 0].flatten().tolist(), acceleration],
        )
        np.testing.assert_allclose(np.reshape(measured[0], (SIDE, SIDE)), observed.adjoint[0, 0], atol=1e-5)
        assert measured[1] == pytest.approx(float(observed.energy[0, 0]), rel=1e-5)


def test_a_reader_completes_a_stack_and_sees_mean_and_standard_deviation(browser, place):
    page = opened(browser, place)
    page.select_option(".try-it select[name=samples]", "2")
    page.select_option(".try-it select[name=CT]", "clean")
    page.keyboard.press("Tab")
    page.click(".try-it button")
    page.wait_for_function("document.querySelector('.try-it .status').textContent.startsWith('2 samples in')")
    scores = page.eval_on_selector_all(".try-it tbody td:last-child", "cells => cells.map(cell => cell.textContent)")
    assert scores[0] == scores[2] == "given" and scores[1].endswith(" dB")
    pixels = "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
    bright = f"canvas => {pixels}.some((v, i) => i % 4 < 3 && v > 0)"
    for title in ("this sample", "mean", "std", "truth"):
        assert page.eval_on_selector(f".try-it canvas[aria-label='T2FLAIR, {title}']", bright), title
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize(
    ("damage", "script", "message"),
    [
        (lambda live: (live / "model.js").unlink(), "", "live/model.js is missing: this book was built or"),
        (lambda live: os.truncate(live / "model.js", 30_000), "", "holds the model was cut"),
        (lambda live: None, "delete window.WebAssembly", "no WebAssembly"),
    ],
)  # fmt: skip
def test_each_fault_is_one_sentence(browser, place, damage, script, message):
    damage(place / "live")
    assert message in status(opened(browser, place, script))

"""A prior that learns from crops, by a pooled linear estimate, and answers whole slices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.common.units import to_model
from a2a.forward.adjacent import Adjacent
from a2a.networks.plain import places
from a2a.prior.linear import FLOOR, LinearEstimate
from a2a.prior.prior import Prior
from a2a.training import PriorConfig, PriorObjective, train
from a2a.training.config import PlainSize


@pytest.fixture
def plain(config) -> PriorConfig:
    changes = {
        "plain": {"widths": (8, 16)}, "predicts": "clean", "precondition": "pooled", "crops": (8, 12), "given": 0.8,
        "given_until": 0.0, "last": 0.35, "precision": "float32",
    }  # fmt: skip
    return PriorConfig.model_validate(config.model_dump() | changes)


def draws(count: int) -> list[torch.Generator]:
    return [generator(5, i) for i in range(count)]


def test_a_pooled_estimate_is_that_of_the_foreground_pixels(store):
    images = np.asarray(store.split("train").images, dtype=np.float64)
    pixels = images.transpose(1, 0, 2, 3).reshape(2, -1)
    found = LinearEstimate.fit(store.split("train").images, "pooled")
    assert found.pooled and found.mean.shape == (2, 1, 1)
    np.testing.assert_allclose(found.mean[:, 0, 0], pixels.mean(axis=1), atol=1e-5)
    wanted = np.cov(pixels, bias=True) + FLOOR * np.eye(2)
    np.testing.assert_allclose(found.covariance[:, :, 0, 0], wanted, atol=1e-5)
    dark = np.concatenate([images, np.zeros_like(images)])  # background says nothing
    np.testing.assert_allclose(LinearEstimate.fit(dark, "pooled").mean, found.mean, atol=1e-6)
    with pytest.raises(InputError, match="no pixel"):
        LinearEstimate.fit(np.zeros((2, 2, 8, 8)), "pooled")


def test_crops_are_parts_of_their_slices_and_say_where_they_lie(plain, store):
    objective, clean = PriorObjective(plain, store), torch.rand(6, 2, 16, 16)
    sides = set()
    for step in range(8):
        parts, place = objective._cropped(clean, draws(6), step)
        side = parts.shape[-1]
        sides.add(side)
        lines = places(16, 16)
        for slice_, part, where in zip(clean, parts, place, strict=True):
            y = int((lines[0, :, 0] - where[0, 0, 0]).abs().argmin())
            x = int((lines[1, 0] - where[1, 0, 0]).abs().argmin())
            assert torch.equal(part, slice_[:, y : y + side, x : x + side])
    assert sides == {8, 12}


def test_crops_show_some_of_the_head(plain, store):
    clean = torch.zeros(64, 2, 16, 16)
    clean[:, :, :7, :7] = 1  # 23 % of the places of a crop show a quarter of it
    parts, _ = PriorObjective(plain.model_copy(update={"crops": (8,)}), store)._cropped(clean, draws(64), 0)
    assert (parts[:, 0].mean(dim=(1, 2)) > 0.25).float().mean() > 0.75


def test_a_third_of_what_is_asked_for_is_nothing_but_noise_and_what_is_given_is_clean(plain, store):
    objective = PriorObjective(plain, store)
    times, asked = (
        torch.stack(each)
        for each in zip(*(objective._times(torch.ones(2, dtype=torch.bool), d) for d in draws(3000)), strict=True)
    )
    given = ~asked.all(dim=1)
    assert abs(float(given.float().mean()) - 0.8) < 0.03 and not times[~asked].any()
    last = times[asked & given[:, None]] == 999
    assert abs(float(last.float().mean()) - 0.35) < 0.03
    assert (times[~given] == times[~given][:, :1]).all()


def test_the_share_that_lacks_a_single_modality_is_that_of_the_recipe(plain, store):
    objective = PriorObjective(plain.model_copy(update={"all_but_one": 0.6}), store)
    lacking = torch.stack([objective._times(torch.ones(4, dtype=torch.bool), draw)[1].sum() for draw in draws(3000)])
    shares = [float((lacking == number).float().mean()) for number in (1, 2, 3, 4)]
    few = 0.8 * 0.4 / 3  # of the other 0.4, any number alike
    assert np.allclose(shares, [0.8 * 0.6 + few, few, few, 0.2], atol=0.03)


def test_a_question_of_the_recipe_has_its_share_and_gives_what_it_says(plain, store):
    objective = PriorObjective(plain.model_copy(update={"given": 0.9, "ask": {"CT": 0.7}}), store)
    drawn = torch.stack([objective._times(torch.ones(2, dtype=torch.bool), draw)[1] for draw in draws(3000)])
    asks_t1 = (drawn == torch.tensor([True, False])).all(dim=1)  # CT is given
    assert abs(float(asks_t1.float().mean()) - 0.9 * (0.7 + 0.3 / 2)) < 0.03
    assert abs(float(drawn.all(dim=1).float().mean()) - 0.1) < 0.02


@pytest.mark.parametrize("scenario", ["T1 + CT", "nothing", "y(T1)", "PET"])
def test_a_question_must_give_something_and_lack_something(plain, store, scenario):
    with pytest.raises(InputError, match="ask: 'T1|ask: 'nothing'|ask: 'y|PET"):
        PriorObjective(plain.model_copy(update={"ask": {scenario: 0.5}}), store).networks()


def test_slices_with_labels_come_as_often_as_the_recipe_says_and_show_one(plain, make_store):
    labels = np.zeros((20, 1, 16, 16), np.uint8)
    labels[4, 0, 8, 7], labels[5] = 1, 255  # nobody looked for lesions in slice 5
    noise = np.random.default_rng(0).random((26, 2, 16, 16))
    store = make_store(noise[:20], noise[20:], labels=labels)
    objective = PriorObjective(plain.model_copy(update={"labelled": 0.4, "crops": (8,)}), store)
    rows = np.concatenate([objective.rows(step, 20) for step in range(300)])
    assert abs((rows == 4).mean() - (0.4 + 0.6 / 20)) < 0.03
    images = store.split("train").images
    several = torch.stack([objective.read(images, row) for row in (4, 5)])
    assert torch.equal(several[:, 0], torch.from_numpy(np.float32(images[[4, 5]])))
    for seed in range(10):
        draw = [generator(seed, i) for i in range(2)]
        parts, _ = objective._cropped(several.flatten(1, -3), draw, 0)
        assert parts[0, -1].sum() == 1 and not parts[1, -1].any()
    shown, *_ = objective.inputs(several, draws(2), 0)
    assert shown.shape == (2, 8, 8, 8)  # the labels are not among what is shown
    louder = PriorObjective(objective.config.model_copy(update={"emphasis": 5.0}), store)
    weight = louder.inputs(several, draws(2), 0)[4]
    assert (weight[1] == 1).all() and sorted(weight[0].unique().tolist()) == [1, 5]
    assert (weight[0] == 5).sum() == weight.shape[1]  # one pixel of each modality
    with pytest.raises(InputError, match="painted: 1 labelled pixels are too few"):
        PriorObjective(objective.config.model_copy(update={"painted": 0.5}), store).networks()
    with pytest.raises(InputError, match="labelled: no training slice of .* has labels"):
        PriorObjective(objective.config, make_store(noise[:6], noise[20:])).networks()


def test_lesions_are_painted_into_the_share_that_the_recipe_says(plain, make_store):
    noise, labels = np.random.default_rng(0).random((26, 2, 16, 16)), np.zeros((20, 1, 16, 16), np.uint8)
    labels[4, 0, 6:10, 6:10] = 1
    store = make_store(noise[:20], noise[20:], labels=labels)
    config = plain.model_copy(update={"labelled": 0.3, "painted": 0.4, "crops": (16,)})
    objective, count = PriorObjective(config, store), 400
    parts = objective.read(store.split("train").images, 4).flatten(0, 1).expand(count, -1, -1, -1)
    found = objective._painted(parts, [generator(6, i) for i in range(count)])
    changed = (found[:, :2] != parts[:, :2]).flatten(1).any(dim=1)
    assert abs(float(changed.float().mean()) - 0.4) < 0.08
    assert torch.equal(found[~changed], parts[~changed]) and (found[:, 2:] >= parts[:, 2:]).all()
    assert (found[changed, 2:] > parts[changed, 2:]).flatten(1).any(dim=1).all()  # what is painted is labelled
    assert not np.isnan(found.numpy()).any() and torch.equal(parts[0], parts[1])


def test_the_network_is_shown_how_much_is_left_open_and_where_it_looks(plain, store):
    objective = PriorObjective(plain, store)
    shown, times, truth, asked, weight = objective.inputs(torch.rand(6, 2, 16, 16), draws(6), 0)
    assert shown.shape[1] == 3 * 2 + 2 and shown.shape[2:] == truth.shape[2:]
    left = shown[:, 4:6, 0, 0]
    assert (left[~asked] < 0.1).all() and (left[times == 999] > left[~asked].max()).all()
    assert (weight == 1).all()


def test_a_run_from_crops_makes_a_prior_of_whole_slices_and_goes_on_bit_for_bit(plain, store, tmp_path):
    path = train(PriorObjective(plain, store), tmp_path / "whole")
    assert train(PriorObjective(plain, store), tmp_path / "parts", stop_after=5) is None
    other = train(PriorObjective(plain, store), tmp_path / "parts", resume=True)
    assert path.read_bytes() == other.read_bytes()
    prior = Prior.load(path)
    assert prior.noise_levels == "per-modality" and prior.size == 16
    x = to_model(torch.rand(2, 2, 16, 16))
    estimate, deviation = prior.linear(x, *prior.schedule.coefficients([0, 999], x))
    answer = prior.predict(x, [0, 999])
    assert ((answer - estimate.clamp(-1, 1)).abs() <= 3 * deviation).all() and not torch.equal(answer, estimate)


def test_a_prior_that_looks_at_a_part_says_the_same_there(plain, store, tmp_path):
    prior = Prior.load(train(PriorObjective(plain, store), tmp_path / "run"))
    for parameter in prior.network.parameters():
        parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[1:3, 12:15] = True
    focused, x = prior.within(mask), to_model(torch.rand(1, 2, 16, 16))
    assert focused.window == (slice(0, 6), slice(10, 16))
    part, whole = (p.predict(x, [0, 500]) for p in (focused, prior))
    assert part.shape == whole.shape and torch.allclose(part[:, :, 1, 13], whole[:, :, 1, 13], atol=0.1)
    assert prior.within(torch.zeros(16, 16, dtype=torch.bool)) is prior


def test_given_modalities_also_show_the_slices_below_and_above(plain, store):
    looks = plain.model_copy(update={"adjacent": 1.0, "given": 1.0, "crops": (8,)})
    objective, images = PriorObjective(looks, store), store.split("train").images
    assert (store.split("train").adjacent[:2] == [[-1, 1], [0, 2]]).all()
    several = torch.stack([objective.read(images, row) for row in (0, 7)])
    assert several[0, 1].isnan().all() and torch.equal(several[1, 2], torch.from_numpy(np.float32(images[8])))
    shown, _, _, asked, _, beside = objective.inputs(several, draws(2), 0)
    given, places_of = ~asked, beside.unflatten(1, (2, 2))
    assert shown.shape == (2, 8, 8, 8) and (given.sum(dim=1) == 1).all()
    assert not places_of[0, 0].any()  # there is none below the first
    for item, side in ((0, 1), (1, 0), (1, 1)):
        seen = places_of[item, side].flatten(1).any(dim=1)
        assert torch.equal(seen, given[item])
    objective = PriorObjective(looks.model_copy(update={"given": 0.0}), store)
    assert not objective.inputs(several, draws(2), 0)[-1].any()


def test_a_prior_that_looks_beside_says_other_things_there_and_is_read_again(plain, store, tmp_path):
    looks = plain.model_copy(update={"adjacent": 0.8})
    prior = Prior.load(train(PriorObjective(looks, store), tmp_path / "run"))
    assert prior.network.config.adjacent and prior.card["adjacent_mm"] == 2.0
    images = torch.from_numpy(np.float32(store.split("val").images))
    told, x = prior.beside(Adjacent.of_volume(images)), to_model(images)
    assert not torch.equal(told.predict(x, [0, 999]), prior.predict(x, [0, 999]))
    first = Adjacent.of_volume(images[:1])  # with nothing below or above
    assert torch.equal(prior.beside(first).predict(x[:1], [0, 999]), prior.predict(x[:1], [0, 999]))


def test_planes_that_do_not_touch_are_refused(plain, store, monkeypatch):
    apart = replace(store.split("train"), planes=2 * store.split("train").planes)
    monkeypatch.setattr(type(store), "split", lambda self, name: apart)
    with pytest.raises(InputError, match="adjacent: no planes of .* lie next to each other; set it to 0"):
        PriorObjective(plain.model_copy(update={"adjacent": 0.5}), store).networks()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plain": None, "precondition": "none", "crops": (), "adjacent": 0.5}, "adjacent: only a plain network looks"),
        ({"precondition": "cross-modal"}, "plain and precondition: pooled go together"),
        ({"plain": None}, "plain and precondition: pooled go together"),
        ({"ask": {"T1": 0.7, "CT": 0.4}}, "ask: its shares"),
        ({"ask": {"T1": 0.7}, "given": 0.0}, "ask: its shares"),
        ({"painted": 0.5}, "emphasis and painted: labels are read"),
        ({"emphasis": 5.0}, "emphasis and painted: labels are read"),
        ({"labelled": 0.5, "crops": ()}, "labelled: only what is cut out"),
        ({"checkpointing": True}, "keeps all its activations"),
        ({"plain": None, "precondition": "none"}, "crops need a network"),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(plain, changes, message):
    with pytest.raises(ValidationError, match=message):
        PriorConfig.model_validate(plain.model_dump() | changes)


def test_a_run_goes_on_from_weights_of_its_sizes_and_from_no_others(plain, config, store, tmp_path):
    first = train(PriorObjective(plain, store), tmp_path / "first")
    further = plain.model_copy(update={"start": first, "steps": 1, "lr": 1e-9})
    began = PriorObjective(further, store).networks()["network"].state_dict()
    for name, value in Prior.load(first).network.state_dict().items():
        assert torch.equal(began[name], value)
    assert Prior.load(train(PriorObjective(further, store), tmp_path / "second")).card["before"][0]["name"] == "discs"
    wider = further.model_copy(update={"plain": PlainSize(widths=(8, 24))})
    with pytest.raises(InputError, match="field network says"):
        PriorObjective(wider, store).networks()
    other = train(PriorObjective(config, store), tmp_path / "other")
    with pytest.raises(InputError, match="another kind"):
        PriorObjective(plain.model_copy(update={"start": other}), store).networks()


@pytest.mark.parametrize("crops", [(24,), (8, 9)])
def test_crops_that_do_not_fit_are_refused(plain, store, crops):
    with pytest.raises(InputError, match="crops: "):
        PriorObjective(plain.model_copy(update={"crops": crops, "plain": PlainSize(widths=(8, 16))}), store).networks()

"""UMM-CSGM: the signature of the paper, its Algorithm 1, given images untouched, and every scenario served."""

import math

import pytest
import torch
from pydantic import ValidationError

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.conditional import noise_in, target
from a2a.methods.baselines.m2dn import M2DN
from a2a.methods.baselines.synthesis import scenario_vectors
from a2a.methods.baselines.ummcsgm import PROCESS, UMMCSGM, UMMCSGMConfig, UMMCSGMObjective, generate, mm_csn
from a2a.methods.options import check_options, label, with_options
from a2a.training import train
from a2a.training.config import NetworkSize
from a2a.training.loader import Steps

SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
CONFIG = UMMCSGMConfig(
    name="tiny", data="discs", network=NetworkSize(width=8, multipliers=(1, 2), attention=(2,), head_width=8),
    sampling_steps=5, steps=150, batch=4, lr=5e-3, warmup=10, ema=0.9, precision="float32", checkpoint_every=75,
)  # fmt: skip
EVERY = [tuple(row) for row in scenario_vectors(3)[1:].tolist()]


def written(given: tuple[bool, ...]) -> str:
    """The scenario of a row of `scenario_vectors`."""
    return " + ".join(name for name, one in zip(SPEC.names, given, strict=True) if one)


@pytest.fixture(scope="module", params=["decoder", "everywhere"])
def method(request) -> UMMCSGM:
    """Untrained, but it answers to everything."""
    config = CONFIG.model_copy(update={"code_in": request.param})
    torch.manual_seed(0)
    network = UMMCSGM.build(config, SPEC, 16).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return UMMCSGM(network, config, SPEC, 16)


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("given", EVERY)
def test_given_images_are_bit_identical_forward_and_backward(given, method, truth, make_store):
    clean, seen = torch.tensor(given), []
    hook = method.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    done = method.complete(Observation.simulate(truth, written(given), SPEC))
    hook.remove()
    assert torch.equal(done.samples[0][:, clean], truth[:, clean]) and torch.isfinite(done.samples).all()
    assert len(seen) == done.evaluations == CONFIG.sampling_steps
    for x, _, missing in seen:
        assert torch.equal(x[:, clean], 2 * truth[:, clean] - 1)
        assert torch.equal(missing, (~clean).float().expand(3, -1))


def test_training_inputs_are_noised_where_something_is_missing_in_every_configuration(make_store):
    objective, met = UMMCSGMObjective(CONFIG, make_store()), set()
    for step in range(20):
        noisy, times, given, noise = Steps(objective)[step]
        again = objective.inputs(torch.zeros_like(noisy), spawn(step, 4), step)
        assert torch.equal(again[0][again[2]], -torch.ones_like(again[0][again[2]]))
        assert (times >= 1e-3).all() and (times <= 1).all() and noise.std() > 0.9
        met |= {tuple(row) for row in given.tolist()}
    assert met == set(EVERY)


def test_1000_steps_with_the_exact_score_return_the_deviation_of_the_data():
    s = 0.5

    def score(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = PROCESS.alpha(t), PROCESS.sigma(t)
        return -x / (alpha**2 * s**2 + sigma**2)[:, None, None, None]

    start, moving = torch.randn(4, 1, 128, 128, generator=torch.Generator().manual_seed(0)), torch.ones(4, 1, 1, 1)
    found = PROCESS.back(score, start, moving, spawn(0, 4), 1000)
    assert found.std().item() == pytest.approx(s, rel=0.01)


def test_the_process_keeps_the_variance_and_begins_where_the_sheet_says():
    t = torch.linspace(1e-3, 1, 50)
    torch.testing.assert_close(PROCESS.alpha(t) ** 2 + PROCESS.sigma(t) ** 2, torch.ones(50))
    assert PROCESS.sigma(torch.tensor(1e-3)).item() ** 2 == pytest.approx(1.10e-4, rel=2e-3)
    assert PROCESS.alpha(torch.tensor(1.0)).item() == pytest.approx(math.exp(-0.05 - 19.9 / 4))


@pytest.mark.parametrize("given", EVERY)
def test_the_score_network_has_the_signature_of_the_paper(given, method, truth):
    t, missing = torch.tensor([0.1, 0.5, 0.9]), (~torch.tensor(given)).float().expand(3, -1)
    found = mm_csn(method.network)(truth, t, missing)
    assert torch.equal(found[:, list(given)], truth[:, list(given)])
    noise = method.network(truth, 1000 * t, missing)
    wanted = -noise / PROCESS.sigma(t)[:, None, None, None]
    torch.testing.assert_close((found - truth)[missing.bool()], wanted[missing.bool()], atol=1e-5, rtol=1e-4)


def test_a_clipped_score_stands_for_a_clean_estimate_in_range(truth):
    t, missing, x = torch.tensor([0.2, 0.5, 0.9]), torch.ones(3, 3), 2 * truth - 1
    alpha, sigma = (each(t)[:, None, None, None] for each in (PROCESS.alpha, PROCESS.sigma))
    for estimate in (0.5, 3.0):
        score = mm_csn(lambda x, t, code: (x - alpha * estimate) / sigma, clipped=True)(x, t, missing) - x  # noqa: B023
        torch.testing.assert_close((x + sigma**2 * score) / alpha, torch.full_like(x, min(estimate, 1.0)))


def test_a_right_answer_stands_for_the_noise_whatever_is_predicted(truth, make_store):
    noise, t = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([0.01, 0.5, 1.0])
    alpha, sigma = (each(t)[:, None, None, None] for each in (PROCESS.alpha, PROCESS.sigma))
    x = alpha * truth + sigma * noise
    for predicts in ("noise", "velocity"):
        answer = target(predicts, truth, noise, alpha, sigma)
        torch.testing.assert_close(noise_in(predicts, answer, x, alpha, sigma), noise, atol=1e-5, rtol=1e-5)
        found = mm_csn(lambda x, t, code: answer, predicts=predicts)(x, t, torch.ones(3, 3)) - x  # noqa: B023
        torch.testing.assert_close(found, -noise / sigma, atol=1e-4, rtol=1e-4)
        objective = UMMCSGMObjective(CONFIG.model_copy(update={"predicts": predicts}), make_store())
        noisy, times, given, wanted = Steps(objective)[0]
        alphas, sigmas = (each(times)[:, None, None, None] for each in (PROCESS.alpha, PROCESS.sigma))
        clean = (noisy - sigmas * noise_in(predicts, wanted, noisy, alphas, sigmas)) / alphas
        assert clean[~given].abs().max() < 1.01


def test_an_oracle_costs_nothing_and_only_what_is_missing_counts(make_store):
    class Oracle(torch.nn.Module):
        def forward(self, x, t, missing):
            return self.answer

    objective, oracle = UMMCSGMObjective(CONFIG, make_store()), Oracle()
    for step in range(3):
        noisy, times, given, noise = Steps(objective)[step]
        oracle.answer = torch.where(given[:, :, None, None], noise + 7, noise)
        assert objective.loss("network", {"network": oracle}, (noisy, times, given, noise)) == 0
        oracle.answer = noise + 0.1
        assert objective.loss("network", {"network": oracle}, (noisy, times, given, noise)) == pytest.approx(0.01)


def test_two_codes_give_two_answers(method, truth):
    t = torch.full((3,), 300.0)
    one = torch.tensor([[1.0, 0.0, 0.0]]).expand(3, -1)
    assert (method.network(truth, t, one) - method.network(truth, t, 1 - one)).abs().amax(dim=(2, 3)).min() > 1e-3


def test_a_code_for_the_decoder_leaves_the_encoder_alone(truth):
    kept = {}
    for where in ("decoder", "everywhere"):
        torch.manual_seed(0)
        network = UMMCSGM.build(CONFIG.model_copy(update={"code_in": where}), SPEC, 16)
        torch.nn.init.normal_(network.down[0].block.conv2.weight)
        network.middle[-1].register_forward_hook(lambda m, i, out, where=where: kept.setdefault(where, []).append(out))
        for code in (torch.zeros(3, 3), torch.ones(3, 3)):
            network(truth, torch.full((3,), 300.0), code)
    assert torch.equal(*kept["decoder"]) and not torch.equal(*kept["everywhere"])


def test_two_seeds_differ_in_what_is_missing_only(method, truth):
    given = torch.tensor([[True, False, True]]).expand(3, -1)
    draw = [generate(mm_csn(method.network), 2 * truth - 1, given, spawn(seed, 3), 5) for seed in (0, 1)]
    assert torch.equal(draw[0][:, [0, 2]], draw[1][:, [0, 2]])
    assert (draw[0] - draw[1])[:, 1].abs().mean() > 0.1


def test_a_row_depends_on_its_generator_alone(method, truth):
    observation = Observation.simulate(truth, "T1", SPEC)
    together = method.complete(observation, 2).samples
    assert torch.equal(together, method.complete(observation, 2).samples)
    alone = UMMCSGM(method.network, method.config, SPEC, 16, batch=1).complete(observation, 2).samples
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_the_number_of_steps_is_an_option(method, truth):
    found = with_options(method, {"sampling_steps": 2})
    assert found.complete(Observation.simulate(truth, "T1", SPEC)).evaluations == found.evaluations == 2
    assert with_options(method, {}) is method
    assert label("umm-csgm", {"sampling_steps": 2}) == "umm-csgm-sampling-steps-2"
    with pytest.raises(InputError, match="sampling_steps: Input should be less than or equal to 1000, got 1001"):
        with_options(method, {"sampling_steps": 1001})
    with pytest.raises(InputError, match="eta: umm-csgm has no such option; it has sampling_steps, clipped"):
        check_options("umm-csgm", {"eta": 1})
    with pytest.raises(InputError, match="eta: mmgan has no such option; it has none"):
        check_options("mmgan", {"eta": 1})


def test_it_says_what_it_cannot_use(method, truth):
    with pytest.raises(UnsupportedObservation, match="clean images only, but T2FLAIR is given as k-space"):
        method.complete(Observation.simulate(truth, "T1 + y(T2FLAIR)", SPEC))
    with pytest.raises(UnsupportedObservation, match="from nothing"):
        method.complete(Observation.simulate(truth, "nothing", SPEC))
    network = NetworkSize(width=8, multipliers=(1, 1, 1), attention=(4,), head_width=8)
    with pytest.raises(InputError, match="network: slices of side 18 do not fit, 4 must divide"):
        UMMCSGM.build(CONFIG.model_copy(update={"network": network}), SPEC, 18)


@pytest.mark.parametrize(
    "field, value",
    [("sampling_steps", 0), ("sampling_steps", 1001), ("code_in", "encoder"), ("network", {"patch": 2}),
     ("network", {"noise_levels": "per-modality"}), ("nothing", True)],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        UMMCSGMConfig.model_validate(CONFIG.model_dump() | {field: value})


def test_weights_come_back_also_at_half_precision_and_wrong_ones_are_refused(method, truth, tmp_path):
    path = tmp_path / "ummcsgm.safetensors"
    method.save(path)
    observation = Observation.simulate(truth, "CT", SPEC)
    assert torch.allclose(
        UMMCSGM.load(path, SPEC).complete(observation).samples, method.complete(observation).samples, atol=1e-5
    )
    with pytest.raises(InputError, match="method is 'umm-csgm', but m2dn"):
        M2DN.load(path)
    size = path.stat().st_size
    method.save(path, torch.float16)
    assert path.stat().st_size < 0.6 * size
    weights = zip(UMMCSGM.load(path).network.parameters(), method.network.parameters(), strict=True)
    assert all(torch.equal(half, full.half().float()) for half, full in weights)


@pytest.mark.long
def test_four_slices_are_learned_by_heart(make_store, tmp_path):
    config = CONFIG.model_copy(update={"predicts": "velocity"})
    store = make_store()
    done = train(UMMCSGMObjective(config, store), tmp_path / "run")
    log = (tmp_path / "run" / "log.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert float(log[-1].split(",")[3]) < 0.45  # a fresh network: 0.9
    assert UMMCSGM.load(done, store.spec).config == config

"""MC-VarNet: sizes it takes, what it makes of another mask, its optimiser."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.baselines.mcvarnet import MCVarNet, MCVarNetConfig
from a2a.methods.recipes import objective

RUN = {"name": "tiny", "data": "discs", "steps": 1, "features": 4}
SPEC = StackSpec.of("T1", "T2FLAIR")


def test_slices_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(InputError, match="side 18 do not fit mcvarnet; 4 must divide"):
        MCVarNet.build(MCVarNetConfig(**RUN), SPEC, 18)


def test_fewer_iterations_than_every_network_needs_are_refused():
    with pytest.raises(ValueError, match="iterations"):
        MCVarNetConfig(**RUN, iterations=3)


@pytest.mark.parametrize("trained", [True, False])
def test_scalars_are_stored_with_the_weights(trained, tmp_path):
    config = MCVarNetConfig(**RUN, train_scalars=trained)
    network = MCVarNet.build(config, SPEC, 16).requires_grad_(False)
    network.mu.fill_(0.25)
    MCVarNet(network.eval(), config, SPEC, 16).save(tmp_path / "w.safetensors")
    assert torch.equal(MCVarNet.load(tmp_path / "w.safetensors").network.mu, torch.full((4,), 0.25))


def test_the_mask_of_the_observation_is_the_one_that_is_used():
    torch.manual_seed(0)
    config = MCVarNetConfig(**RUN)
    method = MCVarNet(MCVarNet.build(config, SPEC, 16).eval().requires_grad_(False), config, SPEC, 16)
    observation = Observation.simulate(torch.rand(1, 2, 16, 16), "T1 + y(T2FLAIR)", SPEC)
    b, r = observation.adjoint[:, 1:], observation.adjoint[:, :1]
    operators = [Undersampling(acceleration=a).operator(16, 16) for a in (2, 4)]
    two, four = (method.reconstruct(b, r, operator, []) for operator in operators)
    assert torch.equal(method.complete(observation).samples[0, :, 1:], four.clamp(0, 1))
    assert not torch.allclose(two, four, atol=1e-3)


def test_the_published_decay_rates_are_used(make_store):
    task = objective(MCVarNetConfig(**RUN), make_store())
    optimiser = task.optimiser(task.networks()["network"])
    assert isinstance(optimiser, torch.optim.Adam) and optimiser.defaults["betas"] == (0.9, 0.99)

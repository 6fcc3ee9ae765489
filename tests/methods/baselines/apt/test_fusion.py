"""The anatomical vector z, the loss that trains it, and its weights."""

import math

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.apt.encoders import BiomedCLIPSize, SmallSize, make_encoder
from a2a.methods.baselines.apt.fusion import (
    Fusion,
    FusionConfig,
    FusionObjective,
    TrainedFusion,
    consistency,
    contrastive,
)
from a2a.training import train
from a2a.training.loader import Steps

SMALL = SmallSize(widths=(8, 16), dims=16)
CONFIG = FusionConfig(
    name="tiny", data="discs", encoder=SMALL, heads=2, hidden=32, weight_decay=0.0,
    steps=60, batch=4, lr=3e-3, warmup=5, precision="float32", checkpoint_every=30,
)  # fmt: skip


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    torch.manual_seed(0)
    return Fusion(SMALL, 2, 32).eval()


@pytest.fixture(scope="module")
def stack() -> torch.Tensor:
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_z_has_length_one_whatever_is_given_and_does_not_see_the_rest(fusion, stack):
    for given in ([1, 0, 0], [0, 1, 1], [1, 1, 1]):
        mask = torch.tensor(given, dtype=torch.bool).expand(5, -1)
        z = fusion(stack, mask)
        torch.testing.assert_close(z.norm(dim=1), torch.ones(5))
        hidden = torch.where(mask[:, :, None, None], stack, 5.0)
        torch.testing.assert_close(fusion(hidden, mask), z)
        only = [i for i, one in enumerate(given) if one]
        torch.testing.assert_close(fusion(stack[:, only], torch.ones(5, len(only), dtype=torch.bool)), z)


def test_z_does_not_depend_on_the_order_and_differs_between_heads(fusion, stack):
    every = torch.ones(5, 3, dtype=torch.bool)
    torch.testing.assert_close(fusion(stack[:, [2, 0, 1]], every), fusion(stack, every))
    assert (torch.pdist(fusion(stack, every)) > 1e-3).all()


def test_training_and_evaluation_see_the_same(fusion, stack):
    given = torch.tensor([[True, False, True]]).expand(5, -1)
    with torch.no_grad():
        quick = fusion.eval()(stack, given)
    slow = fusion.train()(stack, given)
    fusion.eval()
    torch.testing.assert_close(quick, slow.detach(), atol=1e-5, rtol=1e-5)


def test_equal_vectors_cost_log_b_and_different_ones_that_match_nothing():
    same = torch.nn.functional.normalize(torch.ones(7, 4), dim=1)
    assert contrastive(same, same, 1 / 0.07).item() == pytest.approx(math.log(7), rel=1e-5)
    apart = torch.eye(4)
    assert contrastive(apart, apart, 100.0) < 1e-6 < contrastive(apart, apart[[1, 0, 2, 3]], 100.0)
    one, other = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(contrastive(one, other, 2.0), contrastive(other, one, 2.0))


def test_the_published_fusion_has_the_published_weights():
    with torch.device("meta"):
        fusion = Fusion(BiomedCLIPSize(), 8, 2048)
    assert sum(p.numel() for name, p in fusion.named_parameters() if not name.startswith("encoder")) == 3_415_041


def test_one_contrast_is_left_out_for_the_whole_batch(make_store):
    dropped = set()
    for step in range(20):
        stack, views, given = Steps(FusionObjective(CONFIG, make_store()))[step]
        assert (given == given[0]).all() and int(given[0].sum()) == 2 and not torch.equal(stack, views)
        dropped.add(tuple(given[0].tolist()))
    assert len(dropped) == 3


def test_the_fusion_does_not_move_the_encoder(make_store):
    objective = FusionObjective(CONFIG, make_store())
    fusion = objective.networks()["network"]
    stack, _, given = Steps(objective)[0]
    consistency(fusion, fusion.tokens(stack).detach(), given).backward()
    assert all(p.grad is None for p in fusion.encoder.parameters()) and fusion.log_sharpness.grad is not None


def test_training_finds_heads_again_and_weights_come_back(make_store, tmp_path):
    store = make_store(count=8)
    objective = FusionObjective(CONFIG, store)
    torch.manual_seed(0)
    before = objective.validation(objective.networks()["network"])
    done = train(objective, tmp_path / "run")
    trained = TrainedFusion.load(done)
    assert trained.config == CONFIG and objective.validation(trained.network) < before
    assert trained.require(store.spec, SMALL, 2, 32) is trained.network
    with pytest.raises(InputError, match="trained on T1, T2FLAIR, CT, but the data are of T1, CT"):
        trained.require(StackSpec.of("T1", "CT"), SMALL, 2, 32)
    with pytest.raises(InputError, match="but the recipe says"):
        trained.require(store.spec, SMALL.model_copy(update={"dims": 32}), 2, 32)


def test_a_biomedclip_is_read_and_stays_as_it_is(make_store, tmp_path):
    size = BiomedCLIPSize(width=8, depth=1, heads=1, patch=8, image=16, dims=8)
    file = tmp_path / "clip.safetensors"
    save_file(make_encoder(size).state_dict(), file)
    update = {"encoder": size, "start": file, "steps": 3, "checkpoint_every": 3}
    config = FusionConfig.model_validate(CONFIG.model_dump() | update)
    objective = FusionObjective(config, make_store())
    first = objective.networks()["network"].encoder.state_dict()
    trained = TrainedFusion.load(train(objective, tmp_path / "run")).network
    assert all(torch.equal(value, first[name]) for name, value in trained.encoder.state_dict().items())
    torch.manual_seed(0)
    assert not torch.equal(trained.out.weight, objective.networks()["network"].out.weight)


@pytest.mark.parametrize(
    "update, message",
    [({"encoder": {"kind": "biomedclip"}}, "start: name the weights of BiomedCLIP"), ({"start": "x"}, "start"),
     ({"heads": 3}, "heads: 3 cannot share the 16 numbers"), ({"batch": 1}, "batch")],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(update, message):
    with pytest.raises(ValidationError, match=message):
        FusionConfig.model_validate(CONFIG.model_dump() | update)

"""What a prior learns: to predict the noise in a diffused stack, its velocity, or the clean stack.

Loss: ``mean |eps - eps_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t)|^2`` (Ho et al. 2020, Eq. 14).
Explained in the chapter "The diffusion prior".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.rng import generator, randn
from a2a.common.units import to_model
from a2a.data.store.datasets import keys_of, owner, seen_modalities
from a2a.forward.adjacent import NONE
from a2a.forward.scenario import Scenario
from a2a.forward.stack import Modality
from a2a.networks.blocks import zeroed
from a2a.networks.plain import PlainConfig, PlainUNet, places
from a2a.networks.unet import UNet, UNetConfig
from a2a.networks.warm_start import grown, seeing_adjacent
from a2a.prior.linear import LinearEstimate
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.target import Target
from a2a.prior.weights import read_card, trainings
from a2a.training.batches import CROP, consistent_rows, drawn_among
from a2a.training.config import PriorConfig
from a2a.training.incomplete import calibrated_in_part
from a2a.training.lesions import Lesions
from a2a.training.objective import Objective
from a2a.training.validation import calibrated, validation_loss

SHOWN, TRIES = 0.25, 8  # share of a crop that is to show something, and how often one is drawn anew
HALF = 0.5  # of a label that was turned and scaled
NOISY = 0.8  # share of the T times before the noisiest ones


@dataclass(frozen=True, eq=False)
class PriorObjective(Objective):
    """Prediction by one U-Net, see `Objective`; its inputs: what is shown, times, answers, where and how they count."""

    config: PriorConfig

    file = "prior.safetensors"
    incomplete: ClassVar[bool] = True

    @cached_property
    def keys(self) -> tuple[tuple[int, tuple[bool, ...]], ...]:
        """Data set and available modalities of each training slice of a collection."""
        return keys_of(self.store, self.store.split("train"))

    def rows(self, step: int, slices: int) -> list[int]:
        """Training slices of a step; of a collection all of one data set, with the same modalities (MCBS)."""
        c = self.config
        if self.store.datasets:
            return consistent_rows(self.keys, c.seed, step, c.batch)
        rows = super().rows(step, slices)
        if c.labelled:
            return drawn_among(np.flatnonzero(self._labels.any(axis=(1, 2))), rows, c.labelled, c.seed, step)
        return rows

    def _check_collection(self) -> None:
        """Refuse a run that cannot learn from stacks that lack modalities."""
        c = self.config
        if c.plain is not None or c.precondition != "none" or c.predicts == "noise" or not c.given:
            raise InputError(
                f"{self.store.path}: subjects of this collection lack modalities, and {c.name} needs complete stacks; "
                "set predicts: velocity, network.noise_levels: per-modality and given, without plain and precondition."
            )

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule."""
        return NoiseSchedule(self.config.schedule.kind, self.config.schedule.length)

    @cached_property
    def target(self) -> Target:
        """What the network is shown, and what it is to answer; a linear estimate is measured on the training slices."""
        kind = self.config.precondition
        linear = None if kind == "none" else LinearEstimate.fit(self.store.split("train").images, kind)
        return Target(self.schedule, self.config.predicts, linear)

    def networks(self) -> dict[str, nn.Module]:
        """Make the U-Net, with weights from the seed or from the file that the configuration names.

        Raises
        ------
        InputError
            If the slices do not fit the network, or the named weights are of another network, schedule or stack.
        """
        side, n, plain = self.store.size, len(self.store.spec), self.config.plain
        if self.store.datasets:
            self._check_collection()
        if plain is not None:
            looks = self.config.adjacent > 0
            size = PlainConfig(n, **plain.model_dump(), stacks=self.target.stacks, adjacent=looks)
            wrong = [crop for crop in self.config.crops if crop % size.stride or crop > side]
        else:
            said = self.config.network.model_dump() | {"datasets": len(self.store.datasets)}
            size, wrong = UNetConfig(n, **said, stacks=self.target.stacks), []
        if wrong:
            raise InputError(f"crops: {wrong[0]} must be a multiple of {size.stride}, and at most {side}.")
        if self.config.adjacent and (self._adjacent == NONE).all():
            raise InputError(f"adjacent: no planes of {self.store.path} lie next to each other; set it to 0.")
        if self.config.ask and (self.store.datasets or not self._questions):
            raise InputError(f"ask: subjects of {self.store.path} lack modalities; leave it out.")
        if self.config.labelled and not (self.store.label_maps and self._labels.any()):
            raise InputError(f"labelled: no training slice of {self.store.path} has labels; set it to 0.")
        if self.config.painted:
            _ = self._lesions  # too few of them are refused before the training begins
        if self.config.given and size.channels < 2:
            raise InputError("given: a stack of one modality has none to give and others to ask for; set it to 0.")
        if side % size.stride:
            raise InputError(f"network: slices of side {side} do not fit, {size.stride} must divide the side.")
        if plain is not None:
            return {self.product: self._start(size) if self.config.start else PlainUNet(size)}
        network = UNet(size)
        if self.config.start:
            network.load_state_dict(self._start(size).state_dict())
        network.checkpointing = self.config.checkpointing
        return {self.product: network}

    def read(self, images: np.ndarray, row: int) -> Tensor:
        """Read a slice and, where needed, in further stacks those below and above (NaN for none) and its labels."""
        here, read, more = super().read(images, row), super().read, []
        if self.config.adjacent:
            more = [here * torch.nan if other == NONE else read(images, other) for other in self._adjacent[row]]
        if self.config.labelled:
            more.append(torch.from_numpy(self._labels[row]).to(here).expand_as(here))
        return torch.stack([here, *more]) if more else here

    @cached_property
    def _labels(self) -> np.ndarray:
        """Where a training slice has a label that the store names, other than 0, bool ``(N, H, W)``."""
        maps, named = self.store.split("train").labels, self.store.label_maps
        values = [[int(value) for value in each["values"] if int(value)] for each in named]
        return np.any([np.isin(maps[:, i], each) for i, each in enumerate(values)], axis=0)

    def _painted(self, parts: Tensor, draws: list[torch.Generator]) -> Tensor:
        """Paint lesions into a share of the squares, and label them."""
        n, done = len(self.store.spec), parts.clone()
        for part, draw in zip(done, draws, strict=True):
            if torch.rand((), generator=draw) < self.config.painted:
                stacks, where = self._lesions.painted(part[:-n].unflatten(0, (-1, n)), draw)
                part[:-n], part[-n:] = stacks.flatten(0, 1), torch.maximum(part[-n:], where)
        return done

    @cached_property
    def _lesions(self) -> Lesions:
        split, rows = self.store.split("train"), np.flatnonzero(self._labels.any(axis=(1, 2)))
        images = torch.from_numpy(np.asarray(split.images[rows], np.float32))
        return Lesions.measured(images, torch.from_numpy(self._labels[rows]))

    @cached_property
    def _adjacent(self) -> np.ndarray:
        return self.store.split("train").adjacent

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Diffuse each slice to a time of its own, or but for the modalities that are given.

        A modality that a slice lacks is at the last time, nothing but noise, and is not asked for.
        """
        parts, place = self._cropped(clean.flatten(1, -3), draws, step)
        n = len(self.store.spec)
        if self.config.painted:
            parts = self._painted(parts, draws)
        clean, beside = parts[:, :n], parts[:, n : 3 * n].unflatten(1, (-1, n)) if self.config.adjacent else None
        available = ~clean.isnan().flatten(2).any(dim=2)
        drawn = [self._times(there, draw) for there, draw in zip(available, draws, strict=True)]
        times, asked = (torch.stack(part) for part in zip(*drawn, strict=True))
        noise, stack = randn(clean.shape[1:], draws), to_model(clean.nan_to_num(0.5))
        shown, line = self.target.shown(self.schedule.diffuse(stack, times, noise), times)
        truth, weight = self.target.truth(stack, noise, times, line), self.target.weight(times, line, stack)
        if self.config.labelled:
            weight = weight * (1 + (self.config.emphasis - 1) * (parts[:, -1:] > HALF))
        shown = torch.cat([shown, place], dim=1) if place is not None else shown
        inputs = shown, times, truth, asked, weight
        if beside is not None:
            seen = torch.stack([torch.rand((), generator=draw) < self.config.adjacent for draw in draws])
            unseen = asked | ~seen[:, None]
            return *inputs, self.target.beside(beside.masked_fill(unseen[:, None, :, None, None], torch.nan))
        if not self.store.datasets:
            return inputs
        number = self.keys[self.rows(step, len(self.keys))[0]][0]
        return *inputs, torch.full((len(clean),), number)

    def _cropped(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, Tensor | None]:
        """Cut squares of one size out of slices, around a label or some of the head, and say where they lie."""
        crops = self.config.crops
        if not crops:
            return clean, None
        side = crops[int(torch.randint(len(crops), (), generator=generator(self.config.seed, CROP, step)))]
        where, parts = places(*clean.shape[2:]), []
        for slice_, draw in zip(clean, draws, strict=True):
            labels = slice_[-1:] > HALF if self.config.labelled else torch.zeros(())
            wanted, enough = (labels, 0) if labels.any() else (slice_ > 0, SHOWN * side**2)
            for _ in range(TRIES):
                y, x = (int(torch.randint(size - side + 1, (), generator=draw)) for size in slice_.shape[1:])
                part = (slice(None), slice(y, y + side), slice(x, x + side))
                if wanted[part].any(dim=0).sum() > enough:
                    break
            parts.append((slice_[part], where[part]))
        return tuple(torch.stack(each) for each in zip(*parts, strict=True))

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the mean squared error of the prediction, in the modalities that are not given."""
        shown, times, truth, asked, weight, *told = inputs
        error = (weight * (networks[name](shown, times, *told).float() - truth).square()).mean(dim=(2, 3))
        return ((error * asked).sum(dim=1) / asked.sum(dim=1)).mean()

    def validation(self, network: nn.Module) -> float:
        """See `a2a.training.validation.validation_loss`."""
        split = self.store.split("val")
        owners = owner(self.store, split) if self.store.datasets else None
        return validation_loss(network, split.images, self.target, owners)

    def finished(self, network: nn.Module, card: dict) -> Prior:
        """Calibrate the network on the validation split; the card also lists the trainings that it went on from."""
        if self.config.start:
            card = card | {"before": trainings(read_card(*self.config.files))}
        if self.config.adjacent:
            card = card | {"adjacent_mm": self.store.split("train").apart_mm}
        what = {"predicts": self.config.predicts, "linear": self.target.linear}
        prior = Prior(network, self.schedule, self.store.spec, self.store.size, card=card, **what)
        if self.store.datasets:
            prior = replace(prior, card=card | {"datasets": seen_modalities(self.store)})
            return calibrated_in_part(prior, self.store)
        splits = (self.store.split(name).images for name in ("train", "val"))
        return calibrated(prior, *splits, self.config.components)

    def _times(self, available: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the times of a slice, and which modalities are asked for; of what it lacks the last one, and not."""
        if bool(available.all()):
            return self._times_of_all(len(available), draw)
        times = torch.full((len(available),), self.schedule.length - 1)
        asked = torch.zeros_like(available)
        times[available], asked[available] = self._times_of_all(int(available.sum()), draw)
        return times, asked

    def _times_of_all(self, modalities: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw one time, or one and low ones of a random choice of modalities, `(1,)` or `(n,)`; and the others."""
        time, length = torch.randint(self.schedule.length, (1,), generator=draw), self.schedule.length
        if self.config.noisy and torch.rand((), generator=draw) < self.config.noisy:
            time = torch.randint(int(NOISY * length), length, (1,), generator=draw)
        if not self.config.given:
            levels = 1 if self.config.plain is None else modalities
            return time.expand(levels), torch.ones(modalities, dtype=torch.bool)
        number = int(torch.randint(1, modalities, (), generator=draw)) if modalities > 1 else 0
        if number and self.config.all_but_one and torch.rand((), generator=draw) < self.config.all_but_one:
            number = modalities - 1
        if torch.rand((), generator=draw) >= self.config.given:
            number = 0
        if number and self.config.last and torch.rand((), generator=draw) < self.config.last:
            time = torch.full((1,), length - 1)
        low = torch.randint(max(round(self.config.given_until * length), 1), (modalities,), generator=draw)
        chosen = torch.randperm(modalities, generator=draw) < number
        if number and self.config.ask:
            chosen = self._asked(float(torch.rand((), generator=draw)), chosen)
        return torch.where(chosen, low, time), ~chosen

    def _asked(self, drawn: float, chosen: Tensor) -> Tensor:
        """Which modalities a question of the recipe gives, or `chosen` if `drawn` in [0, 1) falls on none of them."""
        for given, share in self._questions:
            drawn -= share
            if drawn < 0:
                return given
        return chosen

    @cached_property
    def _questions(self) -> list[tuple[Tensor, float]]:
        """What each question of the recipe gives, and its share."""
        questions = []
        for text, share in self.config.ask.items():
            given = torch.tensor([kind == "clean" for kind in Scenario.parse(text, self.store.spec).kinds])
            if "y(" in text or "@" in text or given.all() or not given.any():
                raise InputError(f"ask: {text!r} must give some modalities as images and lack others.")
            questions.append((given, share))
        return questions

    def _start(self, size: UNetConfig | PlainConfig) -> nn.Module:
        """Return the network of the prior that the configuration starts from."""
        prior, names = Prior.load(*self.config.files), self.store.spec.names
        if len(prior.spec) != len(names) or not all(map(Modality.answers_to, prior.spec, names)):
            theirs, ours = (", ".join(each) for each in (prior.spec.names, names))
            raise InputError(f"start: {self.config.start} is of {theirs}, but the data are of {ours}.")
        if missing := {"config", "images_seen", "seconds"} - prior.card.keys():
            raise InputError(f"start: {self.config.start} was not made by a2a train, its card lacks {sorted(missing)}.")
        if isinstance(prior.network, PlainUNet) != isinstance(size, PlainConfig):
            raise InputError(f"start: {self.config.start} has a network of another kind than this recipe.")
        if isinstance(size, PlainConfig):
            found = prior.network.to(memory_format=torch.contiguous_format).requires_grad_(True)
            if size.adjacent and not found.config.adjacent:
                found = seeing_adjacent(found)
        else:
            found = grown(prior.network, size)
        if (prior.predicts, prior.linear is None) != (self.config.predicts, self.target.linear is None):
            zeroed(found.tail[-1])
        pairs = {"network": (found.config, size), "schedule": (prior.schedule, self.schedule)}
        for name, (has, wanted) in pairs.items():
            if has != wanted:
                raise InputError(f"start: {self.config.start} was trained with {has}, but field {name} says {wanted}.")
        return found

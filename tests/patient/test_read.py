"""Files of a patient on the grid of a prior: what lands where, in which scale, and what is refused."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.data.kspace.npz import write_kspace
from a2a.data.phantom import PhantomConfig, generate_subject, stack_slices, stack_spec
from a2a.data.volumes.nifti import write_volume
from a2a.forward.operators import fft2c
from a2a.forward.undersampling import Undersampling
from a2a.patient.read import read_patient

ORIENTATIONS = [("RAS", False), ("LAS", False), ("LPS", False), ("SPL", False), ("LPI", True), ("ASR", True)]


def shown(image: np.ndarray, scale: float) -> np.ndarray:
    """Slices of a RAS image as the prior sees them: the brain's window, anterior first, the patient's right first."""
    window = image[1:25, 2:26][::-1, ::-1].transpose(2, 1, 0)
    return np.clip(window / np.float32(scale), 0, 1)


@pytest.mark.parametrize(("codes", "oblique"), ORIENTATIONS)
def test_slices_are_the_scaled_planes_whatever_the_orientation_of_the_file(patient, tiny_prior, codes, oblique):
    files = {"t1": patient.write("T1", codes, oblique), "CT": patient.write("CT", codes, oblique)}
    acquired = read_patient("T1 + CT", files, tiny_prior)
    t1 = patient.images["T1"]
    scale = float(np.percentile(t1[t1 > 0].astype(np.float64), 99.5))
    assert acquired.scales["T1"].high == pytest.approx(scale)
    images = acquired.observation.adjoint.numpy()
    np.testing.assert_allclose(images[:, 0], shown(t1, scale), atol=1e-6)
    np.testing.assert_allclose(images[:, 2], shown(patient.images["CT"] + 1000, 2600), atol=1e-6)
    assert acquired.observation.kinds == ("clean", "missing", "clean")


def test_the_median_of_the_brain_sets_the_scale_where_the_weights_say_so(patient, tiny_prior):
    how = tiny_prior.card["data"]["preprocessing"] | {"medians": {"T1": 0.4}, "foreground": "nonzero"}
    prior = replace(tiny_prior, card={"data": {"preprocessing": how}})
    acquired = read_patient("T1 + y(FLAIR)", {"t1": patient.write("T1"), "flair": patient.write("T2FLAIR")}, prior)
    t1, flair = patient.images["T1"], patient.images["T2FLAIR"]
    assert acquired.scales["T1"].high == pytest.approx(np.median(t1[t1 > 0]) / 0.4)
    assert acquired.scales["T2FLAIR"].high == pytest.approx(np.percentile(flair[flair > 0].astype(np.float64), 99.5))


def test_weights_that_look_beside_are_shown_neighbours_as_far_apart_as_those_of_training(patient, tiny_prior):
    files = {"t1": patient.write("T1"), "flair": patient.write("T2FLAIR")}
    apart = float(np.linalg.norm(nibabel.load(files["t1"]).affine[:3, 2]))

    def looking(mm):
        return replace(tiny_prior, card=tiny_prior.card | {"adjacent_mm": mm})

    acquired = read_patient("T1 + y(FLAIR)", files, looking(apart))
    images, beside = acquired.observation.adjoint, acquired.observation.adjacent.gathered()
    assert torch.equal(beside[1:, 0, 0], images[:-1, 0]) and torch.equal(beside[:-1, 1, 0], images[1:, 0])
    assert beside[:, :, 1:].isnan().all() and beside[0, 0].isnan().all()  # k-space is not shown, nor what is not there
    part = acquired.between(*acquired.geometry.planes[1:3]).observation.adjacent.gathered()
    assert torch.equal(part[0, 0, 0], images[0, 0])  # a part of a volume keeps what lies beside it
    assert read_patient("T1 + y(FLAIR)", files, looking(2 * apart)).observation.adjacent is None
    assert read_patient("T1 + y(FLAIR)", files, tiny_prior).observation.adjacent is None


def test_files_of_one_grid_may_run_in_different_directions(patient, tiny_prior):
    same = read_patient("T1 + CT", {"T1": patient.write("T1"), "CT": patient.write("CT")}, tiny_prior)
    mixed = read_patient("T1 + CT", {"T1": patient.write("T1", "LPS"), "CT": patient.write("CT", "RAS")}, tiny_prior)
    assert torch.equal(same.observation.adjoint, mixed.observation.adjoint)


@pytest.mark.parametrize("given", ["T1", "CT", "PET", "T1 + T2FLAIR + T2star + CT + PET"])
def test_whole_heads_with_noise_everywhere_are_taken_as_the_training_saw_them(tmp_path, tiny_prior_of, given):
    subject = generate_subject(PhantomConfig(z_lo=0.0, z_hi=12.0), 3)
    spec = stack_spec(2.5)
    prior = tiny_prior_of(spec, 64, {"field_of_view_mm": 224.0, "brain_fraction": 0.0, "percentile": 99.5})
    names = given.split(" + ")
    for name in names:
        write_volume(tmp_path / f"{name}.nii", subject.images[name].transpose(2, 1, 0), subject.affine[:, [2, 1, 0, 3]])
    acquired = read_patient(given, {name: tmp_path / f"{name}.nii" for name in names}, prior)
    channels = [spec.index(name) for name in names]
    assert acquired.geometry.z_mm == tuple(subject.planes) == (0, 4, 8)
    images = acquired.observation.adjoint[:, channels].numpy()
    np.testing.assert_allclose(images, stack_slices(subject, 3, 2.5)[:, channels], atol=1e-6)


def test_whole_heads_of_a_prior_that_looked_for_them_are_centred_and_cut_alike(tmp_path, tiny_prior_of):
    shape = (26, 28, 10)
    i, j, k = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    inside = ((i - 3) / 7) ** 2 + ((j + 2) / 9) ** 2 + (k / 4) ** 2 < 1
    data = np.abs(np.random.default_rng(1).normal(0, 2, shape)) + np.where(inside, 100.0, 0.0) + 0.1
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    write_volume(tmp_path / "T1.nii", data, affine)
    how = {"field_of_view_mm": 192.0, "brain_fraction": 0.1, "percentile": 99.5, "foreground": "head"}
    acquired = read_patient("T1", {"T1": tmp_path / "T1.nii"}, tiny_prior_of(preprocessing=how))
    slices = acquired.observation.adjoint[:, 0].numpy()
    assert 4 <= len(acquired.geometry.planes) <= 8
    rows, columns = np.where((slices > 0.5).any(axis=0))
    assert abs(rows.mean() - 11.5) < 0.6 and abs(columns.mean() - 11.5) < 0.6


def test_a_measured_image_is_undersampled_with_the_noise_that_was_asked_for(patient, tiny_prior):
    sampling = Undersampling(acceleration=3, coils=4, noise_std=0.02)
    acquired = read_patient("y(FLAIR)", {"flair": patient.write("T2FLAIR")}, tiny_prior, sampling, seed=1)
    file = acquired.simulated["T2FLAIR"]
    image = torch.from_numpy(acquired.scales["T2FLAIR"].forward(patient.images["T2FLAIR"])[1:25, 2:26].copy())
    image = image.flip(0, 1).permute(2, 1, 0)[list(acquired.geometry.planes)]
    exact = fft2c(file.kspace.maps * image[:, None])
    noise = (file.kspace.data - exact)[:, :, file.kspace.mask]
    assert not file.kspace.data[:, :, ~file.kspace.mask].abs().any()
    assert int(file.kspace.mask.sum()) == 8 and file.kspace.noise_std == 0.02
    for part in (noise.real, noise.imag):
        assert float(part.std()) == pytest.approx(0.02, rel=0.05)
    other = read_patient("y(FLAIR)", {"flair": patient.write("T2FLAIR")}, tiny_prior, sampling, seed=2)
    assert not torch.equal(other.simulated["T2FLAIR"].kspace.data, file.kspace.data)


def test_simulated_kspace_given_as_a_file_is_the_same_acquisition(patient, tiny_prior, tmp_path):
    files = {"T1": patient.write("T1"), "T2FLAIR": patient.write("T2FLAIR")}
    first = read_patient("T1 + y(T2FLAIR)", files, tiny_prior, seed=4)
    write_kspace(tmp_path / "y.npz", first.simulated["T2FLAIR"])
    again = read_patient("T1 + y(T2FLAIR)", files | {"T2FLAIR": tmp_path / "y.npz"}, tiny_prior, seed=5)
    assert torch.equal(again.observation.adjoint, first.observation.adjoint)
    assert again.observation.noise_std == first.observation.noise_std
    assert (again.geometry, again.scales) == (first.geometry, first.scales)
    assert not again.simulated and list(again.originals) == ["T1"]


def test_an_image_that_is_only_simulated_from_does_not_move_the_window(patient, tiny_prior):
    files = {
        "T1": patient.write("T1"),
        "T2FLAIR": patient.write("T2FLAIR", data=np.roll(patient.images["T2FLAIR"], 2, 0)),
    }
    alone = read_patient("T1", {"T1": files["T1"]}, tiny_prior)
    assert read_patient("T1 + y(T2FLAIR)", files, tiny_prior).geometry == alone.geometry
    assert read_patient("T1 + T2FLAIR", files, tiny_prior).geometry != alone.geometry


def test_kspace_alone_and_nothing_get_a_grid_of_their_own(patient, tiny_prior, tmp_path):
    file = read_patient("y(T1)", {"T1": patient.write("T1")}, tiny_prior).simulated["T1"]
    write_kspace(tmp_path / "y.npz", file)
    alone = read_patient("y(T1)", {"T1": tmp_path / "y.npz"}, tiny_prior)
    assert alone.observation.shape == (len(file.kspace.data), 24, 24) and alone.originals == {}
    nothing = read_patient("nothing", {}, tiny_prior)
    assert nothing.observation.shape == (8, 24, 24) and set(nothing.observation.kinds) == {"missing"}
    for acquired in (alone, nothing):
        slices = torch.rand(acquired.observation.shape).numpy()
        np.testing.assert_array_equal(acquired.geometry.to_slices(acquired.geometry.to_volume(slices)), slices)


def test_between_keeps_planes_and_their_data(patient, tiny_prior):
    whole = read_patient("T1 + y(FLAIR)", {"T1": patient.write("T1"), "FLAIR": patient.write("T2FLAIR")}, tiny_prior)
    part = whole.between(3, 5)
    assert part.geometry.planes == (3, 4, 5)
    first = whole.geometry.planes.index(3)
    assert torch.equal(part.observation.adjoint, whole.observation.adjoint[first : first + 3])
    assert part.simulated is whole.simulated
    with pytest.raises(InputError, match=r"no planes 90-95 to complete; there are \d-\d"):
        whole.between(90, 95)


@pytest.mark.parametrize(
    ("given", "names", "message"),
    [
        ("T1 + T2", ["T1"], "character 6: Unknown modality 'T2'; this stack has T1, T2FLAIR, CT"),
        ("T1 +", ["T1"], "character 5: expected a modality"),
        ("T1 + CT", ["T1"], "gives CT, but no file was named for it"),
        ("T1", ["T1", "CT"], "named for CT, but the scenario T1 does not give it"),
        ("nothing", ["T1"], "named for T1, but the scenario nothing does not give it"),
        ("T1", ["T1", "PET"], "Unknown modality 'PET'"),
        ("FLAIR", ["FLAIR", "T2FLAIR"], "Two files were named for T2FLAIR"),
    ],
)
def test_scenario_and_files_must_match(patient, tiny_prior, given, names, message):
    path = patient.write("T1")
    with pytest.raises(InputError, match=message):
        read_patient(given, dict.fromkeys(names, path), tiny_prior)


def test_kspace_for_a_clean_modality_is_refused(patient, tiny_prior):
    with pytest.raises(InputError, match=r"y.npz: the scenario gives T1 as a clean image; write y\(T1\)"):
        read_patient("T1", {"T1": patient.folder / "y.npz"}, tiny_prior)


def test_weights_that_do_not_say_how_their_data_were_prepared_are_refused(patient, tiny_prior):
    silent = replace(tiny_prior, card={"data": {"preprocessing": {"percentile": 99.5}}})
    with pytest.raises(InputError, match="does not say brain_fraction, field_of_view_mm under data.preprocessing"):
        read_patient("T1", {"T1": patient.write("T1")}, silent)

"""Random fields, signed distances, latents: properties against closed forms."""

import numpy as np
import pytest

from a2a.data.phantom.brain import compose
from a2a.data.phantom.config import PRESETS
from a2a.data.phantom.fields import CHUNK, FourierField, Stream, evaluate, stream
from a2a.data.phantom.latents import draw_latents
from a2a.data.phantom.pose import draw_shape, to_canonical
from a2a.data.phantom.shapes import coverage, ellipsoid, smooth_max, smooth_min, super_ellipsoid, tube
from a2a.data.phantom.tissue import CLASSES, INDEX


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def cloud(rng: np.random.Generator, count: int = 2000, width: float = 30.0) -> np.ndarray:
    return (width * rng.standard_normal((3, count))).astype(np.float32)


def test_fields_have_zero_mean_and_unit_variance(rng):
    values = np.array([FourierField.draw(rng, 30.0, 0.25, 24)(cloud(rng, 50, 100.0)) for _ in range(400)])
    assert abs(values.mean()) < 0.03
    assert values.var() == pytest.approx(1.0, abs=0.04)


def test_field_is_a_sum_of_cosines_at_any_number_of_points(rng):
    fields = [FourierField.draw(rng, 30.0, 0.25, m) for m in (5, 8)]
    points = cloud(rng, CHUNK + 3)
    direct = [
        np.sqrt(2 / len(f.phases)) * np.cos(f.waves.astype(float) @ points + f.phases[:, None]).sum(0) for f in fields
    ]
    values = evaluate(fields, points)
    np.testing.assert_allclose(values, direct, atol=2e-5)
    np.testing.assert_array_equal(evaluate(fields, points[:, 40:60]), values[:, 40:60])


def test_gradient_equals_finite_differences(rng):
    drawn = FourierField.draw(rng, 30.0, 0.25, 12)
    points, step = cloud(rng, 200).astype(np.float64), 1e-3
    field = FourierField(drawn.waves.astype(np.float64), drawn.phases.astype(np.float64))

    def value(p: np.ndarray) -> np.ndarray:
        return np.sqrt(2 / 12) * np.cos(field.waves @ p + field.phases[:, None]).sum(0)

    slopes = [(value(points + step * e[:, None]) - value(points - step * e[:, None])) / (2 * step) for e in np.eye(3)]
    values, length = drawn.with_gradient(points.astype(np.float32))
    np.testing.assert_allclose(values, value(points), atol=1e-4)
    np.testing.assert_allclose(length, np.linalg.norm(slopes, axis=0), atol=1e-4)


def test_wavelength_is_honoured(rng):
    waves = FourierField.draw(rng, 27.0, 0.12, 5000).waves
    lengths = 2 * np.pi / np.linalg.norm(waves, axis=1)
    assert np.median(lengths) == pytest.approx(27.0, rel=0.02)
    assert np.log(lengths).std() == pytest.approx(0.12, rel=0.05)


def test_streams_differ_by_each_part_of_their_key():
    numbers = [stream(*key).random() for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, Stream.NOISE + 1)]]
    assert len(set(numbers)) == len(numbers)
    assert stream(3, 4, Stream.TISSUE).random() == stream(3, 4, 10).random()


def test_ball_has_exact_distance(rng):
    points = cloud(rng)
    exact = 12.0 - np.linalg.norm(points - np.array([[1.0], [2.0], [3.0]]), axis=0)
    for ball in (
        ellipsoid(tuple(points), (1.0, 2.0, 3.0), (12.0, 12.0, 12.0), 33.0),
        super_ellipsoid(tuple(points), (1.0, 2.0, 3.0), (12.0, 12.0, 12.0), 2.0),
        tube(tuple(points), [(1, 2, 3), (1, 2, 3.0001)], (12.0, 12.0)),
    ):
        np.testing.assert_allclose(ball, exact, atol=0.02)


def test_ellipsoid_is_zero_on_its_surface_with_unit_slope(rng):
    axes = np.array([20.0, 35.0, 15.0])
    unit = rng.standard_normal((3, 500))
    unit /= np.linalg.norm(unit, axis=0)
    surface = unit * axes[:, None]
    normal = unit / axes[:, None]
    normal /= np.linalg.norm(normal, axis=0)
    np.testing.assert_allclose(ellipsoid(tuple(surface), (0, 0, 0), tuple(axes)), 0, atol=1e-4)
    inner = ellipsoid(tuple(surface - 0.1 * normal), (0, 0, 0), tuple(axes))
    np.testing.assert_allclose(inner, 0.1, atol=0.01)


def test_rotation_turns_x_towards_y():
    tip = (np.array([20 * np.cos(0.5)]), np.array([20 * np.sin(0.5)]), np.array([0.0]))
    assert ellipsoid(tip, (0, 0, 0), (20, 5, 5), np.rad2deg(0.5)) == pytest.approx(0, abs=1e-4)
    assert ellipsoid(tip, (0, 0, 0), (20, 5, 5), -np.rad2deg(0.5)) < -3


def test_super_ellipsoid_is_boxier_than_an_ellipsoid():
    corner = (np.array([7.0]), np.array([7.0]), np.array([0.0]))
    assert super_ellipsoid(corner, (0, 0, 0), (9.5, 9.5, 9.5), 4.0) > 0 > ellipsoid(corner, (0, 0, 0), (9.5, 9.5, 9.5))


def test_tube_narrows_along_its_path():
    z = np.array([0.0, 5.0, 10.0, 12.0])
    on_axis = tube((np.zeros(4), np.zeros(4), z), [(0, 0, 0), (0, 0, 10)], (4.0, 2.0))
    np.testing.assert_allclose(on_axis, [4.0, 3.0, 2.0, 0.0], atol=1e-12)


def test_smooth_union_encloses_the_plain_one_by_at_most_a_quarter_width(rng):
    a, b = rng.normal(size=(2, 500)) * 10
    extra = smooth_max(a, b, 4.0) - np.maximum(a, b)
    assert extra.min() >= -1e-12
    assert extra.max() <= 1.0 + 1e-12
    np.testing.assert_allclose(extra[np.abs(a - b) > 4.0], 0, atol=1e-12)
    np.testing.assert_allclose(smooth_min(a, b, 4.0), np.minimum(a, b) - extra, atol=1e-12)


def test_coverage_is_the_area_of_a_half_plane():
    np.testing.assert_allclose(coverage(np.array([-2.0, -0.875, 0.0, 0.4375, 5.0]), 1.75), [0, 0, 0.5, 0.75, 1])


def test_upper_layers_hide_lower_ones():
    over = compose([("vein", np.array([1.0, 0.5, 0.0])), ("wm", np.array([1.0, 0.5, 0.25]))], 3)
    np.testing.assert_allclose(over[INDEX["vein"]], [1, 0.5, 0])
    np.testing.assert_allclose(over[INDEX["wm"]], [0, 0.25, 0.25])
    np.testing.assert_allclose(over[INDEX["csf"]], [0, 0.25, 0.75])
    assert over.shape[0] == len(CLASSES)


def test_latents_have_the_stated_distribution():
    people = [draw_latents(stream(0, i, Stream.LATENTS), PRESETS["any2all"].age) for i in range(3000)]
    age = np.array([p.age for p in people])
    assert np.median(age) == pytest.approx(70, abs=0.5)
    assert np.percentile(age, [25, 75]) == pytest.approx([65, 75], abs=0.6)
    positive = np.array([p.amyloid_positive for p in people])
    load = np.array([p.amyloid for p in people])
    assert positive.mean() == pytest.approx(0.30, abs=0.03)
    assert load[positive].min() >= 0.35 > 0.20 >= load[~positive].max()
    bleeds = np.array([p.bleeds for p in people])
    assert bleeds[positive].mean() == pytest.approx(2.8, rel=0.1)
    assert bleeds[~positive].mean() == pytest.approx(0.8, rel=0.1)
    assert np.corrcoef(age, [p.atrophy for p in people])[0, 1] > 0.4
    assert np.mean([p.calc_pineal for p in people]) == pytest.approx(0.65, abs=0.03)


def test_pose_is_close_to_a_rigid_motion(rng):
    moved, world = [], cloud(rng, 400, 25.0)
    for i in range(60):
        kept, canonical = to_canonical(draw_shape(np.random.default_rng(i), 0.0), world)
        assert len(kept) == world.shape[1]
        moved.append(canonical - world)
    assert np.abs(np.mean(moved)) < 0.6
    assert 2.0 < np.std(moved) < 5.0


def test_points_far_from_the_head_are_left_out():
    world = np.array([[0.0, 111.0], [0.0, 111.0], [0.0, 0.0]], np.float32)
    kept, canonical = to_canonical(draw_shape(np.random.default_rng(0), 0.0), world)
    assert kept.tolist() == [0]
    assert canonical.shape == (3, 1)

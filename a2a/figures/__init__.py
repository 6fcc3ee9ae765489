"""Figures: pure functions from arrays and tables to Plotly figures, and the one way to show them."""

from a2a.figures.alignment import agreement_curves
from a2a.figures.anatomy import joint_histograms, labelled_stacks, marked_images, tissue_greys
from a2a.figures.curves import gaussian_posterior, metric_intervals, schedule_curves
from a2a.figures.diagram import Arrow, Box, block_diagram
from a2a.figures.idea import Example, idea_sheet, one_picture
from a2a.figures.learning import error_curves, training_curves, unet_diagram
from a2a.figures.physics import denoising_strip, forward_process_strip, mask_and_coils
from a2a.figures.reconstruction import methods_grid, reconstruction_grid
from a2a.figures.show import show
from a2a.figures.stacks import completion_panel, completion_sheet, stack_grid
from a2a.figures.static import contact_sheet
from a2a.figures.tradeoff import cost_ratios, quality_curves
from a2a.figures.uncertainty import coverage_curves, draw_strips

__all__ = [
    "Arrow",
    "Box",
    "Example",
    "agreement_curves",
    "block_diagram",
    "completion_panel",
    "completion_sheet",
    "contact_sheet",
    "cost_ratios",
    "coverage_curves",
    "denoising_strip",
    "draw_strips",
    "error_curves",
    "forward_process_strip",
    "gaussian_posterior",
    "idea_sheet",
    "joint_histograms",
    "labelled_stacks",
    "marked_images",
    "mask_and_coils",
    "methods_grid",
    "metric_intervals",
    "one_picture",
    "quality_curves",
    "reconstruction_grid",
    "schedule_curves",
    "show",
    "stack_grid",
    "tissue_greys",
    "training_curves",
    "unet_diagram",
]

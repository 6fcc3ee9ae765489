"""Figures: pure functions from arrays and tables to Plotly figures, and the one way to show them."""

from a2a.figures.alignment import agreement_curves
from a2a.figures.anatomy import joint_histograms, labelled_stacks, marked_images, tissue_greys
from a2a.figures.curves import gaussian_posterior, metric_intervals, schedule_curves
from a2a.figures.diagram import Arrow, Box, block_diagram
from a2a.figures.dots import method_differences, method_dots
from a2a.figures.given import scenario_ladder
from a2a.figures.idea import Example, idea_sheet, one_picture
from a2a.figures.learning import error_curves, linear_ratios, training_curves, unet_diagram
from a2a.figures.observations import modality_gains, modality_worth, observation_map, open_targets
from a2a.figures.physics import denoising_strip, forward_process_strip, mask_and_coils
from a2a.figures.planning import scan_forecasts
from a2a.figures.reconstruction import answers_grid, methods_grid, reconstruction_grid
from a2a.figures.show import show
from a2a.figures.sorting import samples_table, sortable_table
from a2a.figures.source import live_source, sourced, table_source
from a2a.figures.stacks import completion_panel, completion_sheet, incomplete_grid, realism_sheet, stack_grid
from a2a.figures.static import contact_sheet
from a2a.figures.tradeoff import cost_ratios, quality_curves
from a2a.figures.trajectory import trajectory
from a2a.figures.uncertainty import coverage_curves, draw_strips
from a2a.figures.verdicts import verdict_table

__all__ = [
    "Arrow",
    "Box",
    "Example",
    "agreement_curves",
    "answers_grid",
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
    "incomplete_grid",
    "joint_histograms",
    "labelled_stacks",
    "linear_ratios",
    "live_source",
    "marked_images",
    "mask_and_coils",
    "method_differences",
    "method_dots",
    "methods_grid",
    "metric_intervals",
    "modality_gains",
    "modality_worth",
    "observation_map",
    "one_picture",
    "open_targets",
    "quality_curves",
    "realism_sheet",
    "reconstruction_grid",
    "scan_forecasts",
    "scenario_ladder",
    "schedule_curves",
    "show",
    "samples_table",
    "sortable_table",
    "sourced",
    "stack_grid",
    "table_source",
    "tissue_greys",
    "training_curves",
    "trajectory",
    "unet_diagram",
    "verdict_table",
]

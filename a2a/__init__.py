"""Any2all: one diffusion prior over a stack of modalities completes whatever was acquired."""

__version__ = "0.1.0"

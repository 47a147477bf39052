"""The tiny runs of the trainer's tests."""

from training.conftest import make_trainer

__all__ = ["make_trainer"]

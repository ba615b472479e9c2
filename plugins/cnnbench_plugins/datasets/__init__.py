"""Datasets: three that need no download, and folders of images."""

from cnnbench_plugins.datasets.digits import Digits
from cnnbench_plugins.datasets.image_folder import ImageFolder
from cnnbench_plugins.datasets.shapes import Shapes
from cnnbench_plugins.datasets.textures import Textures

__all__ = ["Digits", "ImageFolder", "Shapes", "Textures"]

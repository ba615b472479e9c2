"""Datasets: three that need no download, published ones, and folders of images."""

from cnnbench_plugins.datasets.cifar10 import Cifar10
from cnnbench_plugins.datasets.digits import Digits
from cnnbench_plugins.datasets.image_folder import ImageFolder
from cnnbench_plugins.datasets.mnist import Mnist
from cnnbench_plugins.datasets.nih_cxr14 import NihCxr14
from cnnbench_plugins.datasets.shapes import Shapes
from cnnbench_plugins.datasets.textures import Textures

__all__ = ["Cifar10", "Digits", "ImageFolder", "Mnist", "NihCxr14", "Shapes", "Textures"]

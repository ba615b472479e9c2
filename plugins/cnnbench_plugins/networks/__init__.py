"""Torch modules behind the components of `cnnbench_plugins.models`."""

"""A classifier of images with convolutions first and attention then (Chen et al. 2021)."""

"""A Transformer on patches of images, which may learn from another network (Touvron et al. 2021)."""

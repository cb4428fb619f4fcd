"""Recurrent attention model: where to look next in an image, learned by REINFORCE."""

"""A recurrent net, with weights written by hand, that runs a two-stack machine."""

"""RNN encoder-decoder (Cho et al. 2014; Sutskever et al. 2014)."""

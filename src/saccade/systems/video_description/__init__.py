"""Video description: clips described with attention to frames (Yao et al. 2015)."""

"""Video description: clips told with attention to frames (Yao et al. 2015)."""

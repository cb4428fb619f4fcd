"""Memory networks on bAbI, with supporting facts (Weston et al. 2014)."""

"""Dynamic memory networks on bAbI (Kumar et al. 2016; DMN+: Xiong et al. 2016)."""

"""Megatron-LM: GPT-2's net, up to 8.3 billion weights."""

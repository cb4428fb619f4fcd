"""Assemblies that two or more systems share: encoders, decoders, readouts, search."""

"""Evidence through the real Go toolchain: proofs of patches, judges of tests, symptoms."""

"""The proofs; README.md says where a test goes."""

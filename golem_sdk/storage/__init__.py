"""Where bytes are kept: one primitive, two engines, group commit. Nothing above knows LMDB."""

"""The embedded `digits` data set, as IDX files."""

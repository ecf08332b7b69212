"""Data, model, optimizer, loop and checkpoints: an MLP trained with `softgrad.ops`."""

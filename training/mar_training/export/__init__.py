"""The model directory: packing, writing, reading back, manifest and model card. `models/FORMAT.md` is the law."""

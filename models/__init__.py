"""The paper's family of colorization models: one file each."""

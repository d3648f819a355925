"""Training: one trainer, its losses, discriminators and schedules."""

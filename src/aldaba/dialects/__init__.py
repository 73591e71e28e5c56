"""The published APIs: each folder translates one of them to the core and back, and does nothing else."""

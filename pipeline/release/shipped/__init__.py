"""The code that goes into a registered model beside the library, and nothing else."""

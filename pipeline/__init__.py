"""What turns the library into a pipeline: parameters and files in, calls into asc_core, files and metrics out."""

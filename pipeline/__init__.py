"""The stages of the pipeline: parameters and files in, one call into asc_core, files and metrics out."""

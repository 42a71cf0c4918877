"""Numbers for people: tables, plots, the model card. Not what is measured (`asc_core.evaluation`)."""

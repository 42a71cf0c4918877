"""The servers of a machine: start them, find them, serve the deployments."""

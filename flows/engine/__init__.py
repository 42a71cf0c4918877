"""What runs a flow: stages as tasks, the workspace, workers elsewhere, reports. Not which stages a flow has."""

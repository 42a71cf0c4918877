"""Pages of HTML that are one file and ask no network: their parts, charts, and how they are rendered. Not what they
tell."""

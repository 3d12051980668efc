"""Who else is told? Programs that show experiments, beside the study's own record."""

"""Histories that others recorded: results files, journals, and git logs, as they come."""

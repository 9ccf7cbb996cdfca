"""What can be taken out of a report: tables, figures, rationales."""

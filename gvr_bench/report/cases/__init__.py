"""What a report shows of single cases."""

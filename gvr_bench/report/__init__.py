"""Shows a finished run: in the terminal, as a page, as tables to paste. It computes nothing.

Importing this package stays cheap; import `terminal`, `html` or `export` for the work.
"""

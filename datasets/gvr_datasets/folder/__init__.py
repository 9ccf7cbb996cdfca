"""Images of your own in a folder, with a table or in one subfolder per class."""

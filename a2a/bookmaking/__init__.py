"""What executes the chapters and builds the pages of the book."""

"""From a patient's files to completed files."""

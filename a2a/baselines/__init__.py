"""The methods Any2all is compared with, one module each, on what they share."""

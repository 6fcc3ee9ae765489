"""The methods that Any2all is compared with, one a module, after their papers and code."""

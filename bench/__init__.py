"""`softgrad bench`: every operation beside other packages' in one process, results compared before anything is timed."""

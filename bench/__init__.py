"""`softgrad bench`: every operation beside other packages in one process, results compared before they are timed."""

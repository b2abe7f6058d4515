"""The report of a survey: one page that opens offline, made of the files that the survey wrote, and of them alone."""

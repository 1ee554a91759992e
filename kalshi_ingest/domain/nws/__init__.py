"""Texts of the National Weather Service: the daily climate report and the monthly form CF6."""

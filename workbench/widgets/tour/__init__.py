"""The guided tour: six stops, each acting on the picture that the dashboard shows.

One more stop takes a function in `stops.py` that opens what it is about and says its `Card`, its
row in `STOPS`, and a test in `tests/widgets/test_tour.py`.
"""

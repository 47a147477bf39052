"""How the dashboard stands in the page: it comes into view, stands beside the notebook, shows a
recorded run until its own has begun, keeps a picture in the saved notebook, and says the line of
code that brings a view back."""

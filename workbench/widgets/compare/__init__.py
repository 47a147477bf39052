"""The page that holds runs and branches side by side, with the map of the forks."""

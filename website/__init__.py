"""What makes the site (`mkdocs.yml`) from the repository: its pages, the courses, the doctor's
findings, the API. No text of the repository is copied by hand."""

"""What was promised of copies of hot keys, checked against real servers, and the check checked: see __main__.py."""

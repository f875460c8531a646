"""The dashboard as a person uses it: by mouse and keyboard, in the system's Chromium, on a lab."""

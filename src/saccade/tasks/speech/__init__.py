"""Speech: recordings, strings of spoken digits, log-mel features."""

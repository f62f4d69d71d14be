"""Risk: five levels of judges, each with absolute veto over those below."""

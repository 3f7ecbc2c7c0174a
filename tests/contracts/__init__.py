"""What a stand-in and the real thing must both do: one test body, run on each that is here."""

"""What holds for all tests."""

from hypothesis import settings

# A law says what is true, not how long a busy machine takes to show it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

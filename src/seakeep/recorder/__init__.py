"""The flight recorder: every prediction complete enough to be executed again, or counted as missing."""

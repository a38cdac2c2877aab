"""The servers of the serving benchmark: ours and the peers, how they are started, pinned, loaded and measured."""

"""``golem demo``: agents at work on a real HTTP service, in a process that is killed again and again."""

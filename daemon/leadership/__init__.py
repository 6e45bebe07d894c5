"""Leader and standby: the leader's beat, a standby's copies, and what a take-over needs besides the normal start."""

"""From a method's name to a run folder of checkpoints and a history."""

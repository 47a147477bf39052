"""What the commands of the command line do; heavy imports happen in here, so that `workbench
--help` is quick."""

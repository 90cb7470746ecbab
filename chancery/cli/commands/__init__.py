"""One module a command group. Loaded only when the command is called; `chancery.cli.main` names them all."""

"""The control plane: trio decides, the engines act. Pure deciders take `now`; the tasks beside them act."""

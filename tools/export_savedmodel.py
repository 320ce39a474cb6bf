"""Run folder to SavedModel; see pnet_tf/export_command.py."""

from pnet_tf import export_command

if __name__ == "__main__":
    export_command.console()

"""Score to sound; see pnet_tf/perform_command.py."""

from pnet_tf import perform_command

if __name__ == "__main__":
    perform_command.console()

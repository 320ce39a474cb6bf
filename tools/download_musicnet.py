"""Downloads MusicNet; see pnet_tf/download.py."""

from pnet_tf import download

if __name__ == "__main__":
    download.console()

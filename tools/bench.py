"""How fast each stage is; see pnet_tf/bench.py."""

from pnet_tf import bench

if __name__ == "__main__":
    bench.console()

"""What a shard set holds; see pnet_tf/inspect_shards.py."""

from pnet_tf import inspect_shards

if __name__ == "__main__":
    inspect_shards.console()

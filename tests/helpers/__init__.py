"""What several tests share: independent references, processes, the command line in process."""

"""Backup and restore of a whole service: database, blobs, uploads, logs and the keys' secret."""

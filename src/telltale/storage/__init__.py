"""Second places for files: a mounted folder, a bucket, a Google Drive, all with the same few verbs."""

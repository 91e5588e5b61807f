//! Blobs: contents come back as they were, and nothing that is needed goes.

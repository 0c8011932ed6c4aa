//! A member of the workspace that is never published.

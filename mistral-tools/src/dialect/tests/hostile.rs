//! Input made to break parsers.

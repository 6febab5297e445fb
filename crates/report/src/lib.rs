//! Report writers: human, JSON Lines, name-status, raw blocks
